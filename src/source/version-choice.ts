/**
 * Which version of MQTT to speak at the next CONNECT: 5, or 3.1.1 with a broker that does not know 5. Some say so by a reason code; others
 * (RabbitMQ before 3.13) end the connection, or are silent.
 *
 * That may also be a broker that is just starting, or a proxy without one behind it, and with 3.1.1 we would have a small window for as long as
 * the connection lasts. So 3.1.1 is tried at the second time in a row, and if it is answered, MQTT 5 once more: only if that is in vain
 * again, it is 3.1.1.
 */
import type { MqttVersion } from "./mqtt-options.ts";
import { isUnanswered, refusesVersion } from "./mqtt-words.ts";

/** So many CONNECTs of MQTT 5 in a row without an answer: 3.1.1 is worth a try. */
const suspicious = 2;

export interface VersionChoice {
  readonly version: MqttVersion;
  /** The broker answered, and gave us what we asked for. @returns false: to be ended, for this may be the wrong version */
  answered(): boolean;
  /** The connection is over. @returns whether to make another at once */
  ended(cause: unknown): boolean;
}

/** @param isFixed whether it is `preferred`, come what may */
export function createVersionChoice(preferred: MqttVersion, isFixed: boolean): VersionChoice {
  let version = preferred;
  let unanswered = 0;
  let [isAnswered, isDoubted] = [false, false];

  return {
    get version() {
      return version;
    },
    answered() {
      isAnswered = true;
      if (version === 5) unanswered = 0;
      isDoubted = version === 4 && unanswered === suspicious;
      return !isDoubted;
    },
    ended(cause) {
      const [spoken, wasAnswered, wasDoubted] = [version, isAnswered, isDoubted];
      version = preferred;
      isAnswered = isDoubted = false;
      if (isFixed || spoken === 4) return wasDoubted;
      const isIgnored = !wasAnswered && isUnanswered(cause);
      if (isIgnored) unanswered += 1;
      if (refusesVersion(cause) || (isIgnored && unanswered >= suspicious)) version = 4;
      return version === 4;
    },
  };
}
