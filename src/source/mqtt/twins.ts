/**
 * Knows the copies of a message that came by several sessions of ours, in the moment in which more than one is subscribed.
 *
 * The new session subscribes before an old one loses its subscriptions, since the other way round messages would be lost in between;
 * what a broker handles in between it gives to each. The copies have nothing in common but topic and bytes, and may come far
 * apart, for an old session first gives what it kept. So they are counted off: what one session gives for the third time is what another
 * gave for the third time, and what a device says three times is heard three times. Only what comes by the new session alone in the
 * instant before this ends, and equals to the byte what an old one has just given, is heard once too seldom.
 */
import type { MqttMessage } from "./outstanding.ts";

/** What is remembered at most: beyond it a copy is not known again. */
const twinBytesMax = 32 * 1024 * 1024;
const messageOverheadBytes = 200;

export interface Twins {
  /** The message that this one, which came by that session, is a copy of; undefined: of none. To be asked of every message. */
  originalOf(session: string, message: MqttMessage): MqttMessage | undefined;
  /** Only one is subscribed from now on: what others still give has come already, or comes by them alone. */
  parted(): void;
}

interface Same {
  readonly originals: MqttMessage[];
  /** Session → how many of them it gave. */
  readonly given: Map<string, number>;
}

export function createTwins(): Twins {
  const known = new Map<string, Same>();
  let together = true;
  let bytes = 0;

  function remember(key: string): Same {
    const same: Same = { originals: [], given: new Map() };
    known.set(key, same);
    return same;
  }

  return {
    originalOf(session, message) {
      if (message.qos === 0) return undefined;
      const key = keyOf(message);
      const same = known.get(key) ?? (together ? remember(key) : undefined);
      if (same === undefined) return undefined;
      const given = same.given.get(session) ?? 0;
      const original = same.originals[given];
      bytes += message.topic.length + message.payload.length + messageOverheadBytes;
      if (original === undefined && (!together || bytes > twinBytesMax)) return undefined;
      same.given.set(session, given + 1);
      if (original === undefined) same.originals.push(message.own());
      return original;
    },
    parted() {
      together = false;
    },
  };
}

const keyOf = ({ topic, payload }: MqttMessage) => `${topic}\0${Buffer.from(payload).toString("latin1")}`;
