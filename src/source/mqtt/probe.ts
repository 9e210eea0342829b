/**
 * Can the broker be reached and used? For `sluice check`. Under a throwaway client id and without a session, because
 * the real id would take the session of a running gateway; and without subscribing, because that would take messages
 * from a share group.
 */
import { randomBytes } from "node:crypto";
import { connect, type IConnackPacket } from "mqtt";
import type { StatusTopic } from "../../core/source.ts";
import { clientOptions, type MqttSettings, type MqttVersion, placeOf } from "./options.ts";
import {
  Closed,
  describeFailure,
  groupNote,
  isRefusal,
  isUnanswered,
  refusesVersion,
  remarksOn,
  resetText,
  versionName,
} from "./words.ts";

/**
 * Will the broker have our last will? Whether it lets us publish on the topic cannot be asked without publishing, which would be shown to
 * whoever watches a gateway that runs: a refusal of that is in the log and in `/readyz`.
 * @throws one sentence that says what is wrong.
 */
export async function probeStatusTopic(settings: MqttSettings, statusTopic: StatusTopic): Promise<string> {
  const place = placeOf(settings.url ?? "");
  const answer = await connectEither(settings, statusTopic);
  if ("failure" in answer) throw new Error(whyNot(answer.failure, place));
  if (answer.connack.properties?.retainAvailable === false)
    throw new Error(`${place} keeps no retained messages, which STATUS_TOPIC needs`);
  return `${place} takes a retained last will for ${statusTopic.topic}`;
}

type ConnectResult = { readonly connack: IConnackPacket } | { readonly failure: unknown };

/**
 * One sentence: the version of MQTT the broker speaks and what it says about itself.
 * @throws one sentence that says what is wrong.
 */
export async function probeMqtt(settings: MqttSettings): Promise<string> {
  if (settings.url === undefined) throw new Error("MQTT_URL is not set");
  const place = placeOf(settings.url);
  const answer = await connectEither(settings);
  if ("failure" in answer) throw new Error(whyNot(answer.failure, place));
  const { version } = answer;
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

/** Here nothing was answered before, so that a reset may mean TLS at one end alone. */
function whyNot(failure: unknown, place: string): string {
  const said = describeFailure(failure, place);
  if (!said.endsWith(resetText)) return said;
  const wants = Object.entries(portWants).find(([scheme]) => place.startsWith(`${scheme}:`))?.[1];
  return `${said}: does that port ${wants}?`;
}

const portWants = {
  mqtt: "want TLS (mqtts://)",
  mqtts: "speak TLS",
  ws: "speak websockets, or want TLS (wss://)",
  wss: "speak websockets with TLS",
};

/** A broker that is silent to MQTT 5 answers 3.1.1 at once; what is none at all is not waited for twice as long. */
const secondTryMs = 4_000;

/** As the source does: MQTT 5, and 3.1.1 if that is refused, or left without an answer that 3.1.1 gets. */
async function connectEither(
  settings: MqttSettings,
  statusTopic?: StatusTopic,
): Promise<ConnectResult & { version: MqttVersion }> {
  const version: MqttVersion = settings.version === "3.1.1" ? 4 : 5;
  const answer = await tryConnect(settings, version, statusTopic);
  if (!("failure" in answer) || settings.version !== "auto") return { ...answer, version };
  const isRefused = refusesVersion(answer.failure);
  if (!isRefused && !isUnanswered(answer.failure)) return { ...answer, version };
  const older = await tryConnect(settings, 4, statusTopic, isRefused ? {} : { connectTimeout: secondTryMs });
  const isAnswered = isRefused || "connack" in older || isRefusal(older.failure);
  return isAnswered ? { ...older, version: 4 } : { ...answer, version };
}

/** Connects and leaves again. */
function tryConnect(
  settings: MqttSettings,
  version: MqttVersion,
  statusTopic?: StatusTopic,
  patience: { readonly connectTimeout?: number } = {},
): Promise<ConnectResult> {
  const clientId = `sluice-check-${randomBytes(4).toString("hex")}`;
  return new Promise((resolve) => {
    const options = clientOptions(settings, { clientId, version, clean: true, statusTopic });
    const client = connect({ ...options, ...patience });
    let answer: ConnectResult = { failure: new Closed(false) };
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
