/**
 * Makes the session at the broker what we intend: subscribes to our filters and takes back those that are ours no more.
 *
 * At every connect, also to a session that should have them: another client may have had our id meanwhile. First the new,
 * then the old, so that no message falls between the two; one that comes by both is taken once (overlap.ts).
 */
import type { MqttClient } from "mqtt";

export interface Subscribed {
  /** The least that was granted for one of them. */
  readonly grantedQos: number;
  /** Filters that the broker refuses, but not all: the others are worth having. */
  readonly refused: readonly string[];
  /** Old filters that the broker does not let go. */
  readonly kept: readonly string[];
}

/**
 * How we ask for filters, all of them shared or none. Retained messages are wanted only with a new subscription, not at every connect
 * (Retain Handling 1, MQTT 5 §3.8.3.1), and with a shared one never: no broker may send them (§4.8.2), but Mosquitto does, to each
 * member of the group, and again after its restart.
 */
export const optionsFor = ([first = ""]: readonly string[]): { qos: 1; rh: 1 | 2 } => ({
  qos: 1,
  rh: first.startsWith("$share/") ? 2 : 1,
});

/**
 * Without filters there is nothing to be asked: a session that is to give only what it has.
 * @param done called once with both answers, or with why not
 */
export function subscribe(
  client: MqttClient,
  filters: readonly string[],
  obsolete: readonly string[],
  done: (error: Error | null, subscribed?: Subscribed) => void,
): void {
  if (filters.length === 0) return done(null, { grantedQos: 2, refused: [], kept: [] });
  let given: Pick<Subscribed, "grantedQos" | "refused"> | undefined;
  let kept: readonly string[] | undefined = obsolete.length === 0 ? [] : undefined;
  const answer = () => {
    if (given !== undefined && kept !== undefined) done(null, { ...given, kept });
  };
  client.subscribe([...filters], optionsFor(filters), (cause, granted) => {
    const { packet } = Object(cause) as { packet?: unknown };
    const named = refused(filters, packet);
    if (cause && (named.length === 0 || named.length === filters.length)) {
      const words = filters.join(", ");
      return done(new Error(`the broker refuses to subscribe us to ${words}`, { cause }));
    }
    const codes = cause ? codesOf(packet).filter(isGranted) : (granted ?? []).map(({ qos }) => qos);
    given = { grantedQos: Math.min(2, ...codes), refused: named };
    answer();
  });
  if (obsolete.length === 0) return;
  client.unsubscribe([...obsolete], (cause, packet) => {
    if (cause) return done(new Error("the broker does not answer UNSUBSCRIBE", { cause }));
    kept = refused(obsolete, packet);
    answer();
  });
}

/** Reason codes of SUBACK and UNSUBACK (MQTT 5 §3.9.3, §3.11.3); the UNSUBACK of 3.1.1 has none. */
function refused(filters: readonly string[], packet: unknown): readonly string[] {
  const codes = codesOf(packet);
  return filters.filter((_, i) => !isGranted(codes[i] ?? 0));
}

const isGranted = (code: number) => code < 0x80;

function codesOf(packet: unknown): readonly number[] {
  return ((packet ?? {}) as { granted?: readonly number[] }).granted ?? [];
}
