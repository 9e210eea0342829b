/**
 * What aedes asks us about its clients: may it connect, publish, subscribe. `authorizePublish` is where messages go to
 * the intake; aedes goes on (PUBACK, then to subscribers) when its callback is called. A device shows its token to us alone:
 * subscribers get the payload without it.
 */
import type { AedesOptions, AuthenticateError, Client } from "aedes";
import { type Clock, withDeadline } from "../core/clock.ts";
import { admit, type Authenticate, mayUse, type OwnTopic } from "./broker-access.ts";
import { BrokerMessage, bytesOf, type Gate } from "./broker-intake.ts";
import type { BrokerSettings } from "./broker-settings.ts";

/** How long a client may take to send CONNECT, and a subscriber to take what it is sent. */
const CONNECT_MS = 10_000;
const DRAIN_MS = 5000;
const AUTHENTICATE_MS = 10_000;

export interface RulesOptions {
  readonly settings: BrokerSettings;
  readonly clock: Clock;
  readonly authenticate?: Authenticate;
  /** A payload as subscribers may see it. */
  readonly withoutTokens?: (payload: Uint8Array) => Uint8Array;
}

export function brokerRules(
  { settings, clock, authenticate, withoutTokens }: RulesOptions,
  gate: Gate,
): AedesOptions {
  const owners = clientOwners();
  /** Somebody was ever let subscribe. */
  let isListenedTo = false;
  const timely: Authenticate | undefined =
    authenticate && ((...who) => withDeadline(clock, AUTHENTICATE_MS, "the registry", authenticate(...who)));

  async function whyNot(
    client: Client,
    username?: string,
    password?: Buffer,
  ): Promise<AuthenticateError | null> {
    const admission = await admit(username, password, settings.requireAuth, timely);
    if (!admission.admitted) return refusal(admission.returnCode, admission.why);
    return owners.add(client, admission.ownTopic) ? null : refusal(2, "another device has this client id");
  }

  return {
    connectTimeout: CONNECT_MS,
    drainTimeout: DRAIN_MS,
    preConnect(_client, packet, done) {
      packet.clean = true;
      done(null, true);
    },
    async authenticate(client, username, password, done) {
      const error = await whyNot(client, username, password);
      done(error, error === null);
    },
    authorizePublish(client, packet, done) {
      const { topic } = packet;
      if (topic.startsWith("$")) return done(new Error("PUBLISH refused: a topic that begins with $"));
      if (!mayUse(owners.ownTopic(client), topic)) {
        return done(new Error("PUBLISH refused: not the device's own topic"));
      }
      packet.retain = false;
      const passOn = () => {
        if (isListenedTo && withoutTokens) packet.payload = Buffer.from(withoutTokens(bytesOf(packet)));
        done(null);
      };
      gate.take(new BrokerMessage(client, packet, clock.wallMs(), passOn));
    },
    authorizeSubscribe(client, subscription, done) {
      const isOwn = mayUse(owners.ownTopic(client), subscription.topic);
      isListenedTo ||= isOwn;
      done(null, isOwn ? subscription : null);
    },
  };
}

/** Who is behind each client, and whose each client id is, so that a device cannot take over another's connection. */
function clientOwners() {
  const ownTopics = new WeakMap<Client, OwnTopic>();
  const holders = new Map<string, Client>();
  const ownTopic = (client: Client | null) => (client === null ? null : (ownTopics.get(client) ?? null));

  return {
    ownTopic,
    /** False where the client id is that of another device that proved itself: who did not has no claim to keep it. */
    add(client: Client, own: OwnTopic): boolean {
      const holder = holders.get(client.id);
      if (holder !== undefined && !holder.closed && ![own, null].includes(ownTopic(holder))) return false;
      ownTopics.set(client, own);
      holders.set(client.id, client);
      client.conn.once("close", () => {
        if (holders.get(client.id) === client) holders.delete(client.id);
      });
      return true;
    },
  };
}

/** `returnCode`: MQTT 3.1.1 §3.2.2.3. aedes declares a const enum for it, which does not exist at run time. */
const refusal = (returnCode: 2 | 3 | 4 | 5, why: string): AuthenticateError =>
  // oxlint-disable-next-line typescript/no-unsafe-enum-assignment
  Object.assign(new Error(`CONNECT refused: ${why}`), { returnCode });
