/**
 * What to ask a broker for at the next CONNECT: MQTT 5 with the last will of STATUS_TOPIC, or less with a broker that will not have that. Some
 * say so by a reason code; others end the connection, or are silent (RabbitMQ before 3.13 at MQTT 5, NATS at a last will that is too large).
 *
 * That may also be a broker that is just starting, or a proxy without one behind it, and we would have less for as long as the connection
 * lasts. So less is asked for at the second time in a row, step by step. An answer to it proves that the broker is there: then all is asked for
 * once more, and what is in vain again is left out.
 */
import type { MqttVersion } from "./options.ts";
import { isUnanswered, refusesVersion } from "./words.ts";

/** So many CONNECTs in a row without an answer: less is worth a try. */
const suspicious = 2;

export interface Asked {
  readonly version: MqttVersion;
  readonly hasWill: boolean;
}

export interface ConnectChoice {
  readonly asked: Asked;
  /** The broker answered, and gave us what we asked for. @returns false: to be ended, for we may be asking for too little */
  answered(): boolean;
  /** The connection is over. @param isWillUnwanted the reason is STATUS_TOPIC, if we asked for it @returns whether to make another at once */
  ended(cause: unknown, isWillUnwanted?: boolean): boolean;
}

/** @param versions the one that is wanted most first */
export function createConnectChoice(versions: readonly MqttVersion[], hasWill: boolean): ConnectChoice {
  const wills = hasWill ? [true, false] : [false];
  const all = wills.flatMap((will) => versions.map((version) => ({ version, hasWill: will })));
  /** Without what the broker has refused by a reason code. */
  let left: readonly Asked[] = all;
  let [at, ignored] = [0, 0];
  let [isThere, isAnswered, isDoubted] = [false, false, false];
  const asked = () => left[at] ?? { version: 5, hasWill: false };

  function begin(): void {
    [at, ignored, isAnswered, isDoubted, left] = [0, 0, false, false, all];
  }

  /** @returns whether anything is left */
  function leaveOut(isLeft: (asked: Asked) => boolean): boolean {
    left = left.filter(isLeft);
    at = 0;
    isThere = true;
    if (left.length === 0) begin();
    return left.length < all.length;
  }

  /** @returns whether there is less to be asked for */
  function askLess(): boolean {
    ignored += 1;
    if (!isThere && ignored < suspicious) return false;
    at = (at + 1) % left.length;
    if (at === 0) isThere = false;
    return at > 0;
  }

  return {
    get asked() {
      return asked();
    },
    answered() {
      isAnswered = true;
      isDoubted = at > 0 && !isThere;
      isThere = at > 0;
      return !isDoubted;
    },
    ended(cause, isWillUnwanted = false) {
      const { version, hasWill: hadWill } = asked();
      const [wasAnswered, wasDoubted] = [isAnswered, isDoubted];
      if (wasAnswered) begin();
      if (wasDoubted) return true;
      if (isWillUnwanted && hadWill) return leaveOut(({ hasWill: will }) => !will);
      if (!wasAnswered && refusesVersion(cause)) return leaveOut((other) => other.version !== version);
      if (wasAnswered) return false;
      if (isUnanswered(cause)) return askLess();
      begin();
      return false;
    },
  };
}
