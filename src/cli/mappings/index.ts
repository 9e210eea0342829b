/** `sluice mappings …`: what the file of mappings makes of a message. */
import { systemClock } from "../../core/clock.ts";
import type { DeviceAuth, DeviceId } from "../../core/device.ts";
import { quarantineSpec } from "../../admin/review/quarantine-rows.ts";
import { unwrapRaw } from "../../judge/scrub.ts";
import { command, type CommandGroup, type Context, moment, toggle, UsageError, string } from "../command.ts";
import { configured } from "../configuration.ts";
import { openConfiguredStore } from "../configured-store.ts";
import { deviceOption } from "../devices/device-options.ts";
import { remoteQueue } from "../review/remote-queue.ts";
import { asText, tryMessage, type Tried } from "./try.ts";
import { runningOptions, type WhichGateway } from "../which-gateway.ts";
import { jsonLine } from "../report.ts";

const speaker = deviceOption(
  "--as <tenant/device>",
  "The device that proved itself at CONNECT to the embedded broker",
);

const tryOne = command({
  name: "try",
  summary: "Say what happens to a message on standard input, or to a row of the quarantine",
  options: {
    topic: string("--topic <topic>", "The topic on which it came"),
    quarantine: string(
      "--quarantine <id>",
      "Instead of standard input: this row, read from the running gateway",
    ),
    at: moment("--at <time>", "The time at which it came, if not now"),
    as: speaker,
    retained: toggle("--retained", "The broker had retained it"),
    ...runningOptions,
  },
  async run(context, { options }) {
    const { config } = configured(context);
    const tried = await toTry(context, options);
    const result = await tryMessage(config, tried, (ids) => findIn(context, ids));
    context.stdout(options.json ? jsonLine(result) : asText(result, config.mappings.length > 0));
    return result.outcomes.every(({ event, reason }) => event !== null && reason === null) ? 0 : 1;
  },
});

export const mappings: CommandGroup = {
  name: "mappings",
  summary: "Try what MAPPINGS_FILE makes of a message",
  commands: [tryOne],
};

interface Asked extends WhichGateway {
  readonly topic: string | undefined;
  readonly quarantine: string | undefined;
  /** ISO 8601. */
  readonly at: string | undefined;
  readonly as: DeviceId | undefined;
  readonly retained: boolean;
}

async function toTry(context: Context, asked: Asked): Promise<Tried> {
  const { topic, at, as: speaking, retained } = asked;
  const receivedMs = at === undefined ? systemClock.wallMs() : Date.parse(at);
  const base = { receivedMs, retained, speaker: speaking };
  if (asked.quarantine !== undefined)
    return { ...base, ...(await quarantined(context, asked, asked.quarantine)) };
  if (topic === undefined) throw new UsageError("--topic is required, with the message on standard input");
  return { ...base, topic, payload: new Uint8Array(await Bun.stdin.arrayBuffer()) };
}

async function quarantined(
  context: Context,
  asked: Asked,
  id: string,
): Promise<Pick<Tried, "topic" | "payload" | "wholeBytes">> {
  const row = await remoteQueue(context, asked, quarantineSpec).show(Number(id));
  if (row === undefined) throw new UsageError(`there is no row ${id} in the quarantine`);
  const kept = typeof row.payload === "string" ? row.payload : JSON.stringify(row.payload);
  const { text, ...more } = unwrapRaw(kept);
  return { topic: asked.topic ?? row.topic, payload: new TextEncoder().encode(text), ...more };
}

async function findIn(context: Context, ids: readonly DeviceId[]): Promise<readonly DeviceAuth[]> {
  const store = openConfiguredStore(context, false);
  try {
    return await store.registry.find([...ids]);
  } finally {
    await store.close();
  }
}
