/** Ends a session at a broker, and with it all that it would keep for us. */
import { connect, type IClientOptions } from "mqtt";
import type { Clock } from "../../core/clock.ts";
import { answerMs } from "./options.ts";

/** A clean session takes the place of the one there is, and ends with its connection (MQTT 5 §3.1.2.4, 3.1.1 §3.1.2.4). */
export function endSession(options: IClientOptions, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const client = connect(options);
    const timer = clock.after(answerMs, () => client.end(true));
    client.on("error", () => client.end(true));
    client.on("connect", () => client.end());
    client.on("close", () => {
      timer.cancel();
      resolve();
    });
  });
}
