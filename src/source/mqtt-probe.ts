/**
 * Can the broker be reached and used? For `sluice check`. Under a throwaway client id and without a session, because
 * the real id would take the session of a running gateway; and without subscribing, because that would take messages
 * from a share group.
 */
import { randomBytes } from "node:crypto";
import { connect, type IConnackPacket } from "mqtt";
import { clientOptions, type MqttSettings, type MqttVersion, placeOf } from "./mqtt-options.ts";
import { Closed, describeFailure, groupNote, refusesVersion, remarksOn, versionName } from "./mqtt-words.ts";

type Answer = { readonly connack: IConnackPacket } | { readonly failure: unknown };

/**
 * One sentence: the version of MQTT the broker speaks and what it says about itself.
 * @throws one sentence that says what is wrong.
 */
export async function probeMqtt(settings: MqttSettings): Promise<string> {
  if (settings.url === undefined) throw new Error("MQTT_URL is not set");
  const place = placeOf(settings.url);
  let version: MqttVersion = settings.version === "3.1.1" ? 4 : 5;
  let answer = await ask(settings, version);
  if ("failure" in answer && settings.version === "auto" && refusesVersion(answer.failure)) {
    version = 4;
    answer = await ask(settings, version);
  }
  if ("failure" in answer) throw new Error(describeFailure(answer.failure, place));
  return [
    `${place} speaks ${versionName(version)}`,
    ...(version === 5
      ? [`it may send ${settings.receiveMaximum} messages ahead of our acknowledgement`]
      : []),
    ...remarksOn(answer.connack.properties, settings, version),
    groupNote(settings, version),
  ]
    .filter(Boolean)
    .join("; ");
}

/** Connects and leaves again. */
function ask(settings: MqttSettings, version: MqttVersion): Promise<Answer> {
  const clientId = `sluice-check-${randomBytes(4).toString("hex")}`;
  return new Promise((resolve) => {
    const client = connect(clientOptions(settings, { clientId, version, clean: true }));
    let answer: Answer = { failure: new Closed(false) };
    client.on("error", (failure) => {
      resolve({ failure });
      client.end(true);
    });
    client.on("connect", (connack) => {
      answer = { connack };
      client.end();
    });
    client.on("close", () => resolve(answer));
  });
}
