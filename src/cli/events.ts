/** `sluice events`: what happens to the next messages, one line each, live until interrupted. */
import { z } from "zod";
import { oneLine } from "../core/text/terminal.ts";
import { command, number, toggle } from "./command.ts";
import { deviceOption } from "./devices/device-options.ts";
import { withQuery } from "./gateway-client.ts";
import { clientOf, runningOptions } from "./which-gateway.ts";
import { jsonLine } from "./report.ts";

const entry = z.looseObject({
  seq: z.number(),
  received_at: z.string(),
  topic: z.string(),
  // An older gateway says neither stage nor mapping.
  mapping: z.string().nullish(),
  verdict: z.string(),
  stage: z.string().nullish(),
  detail: z.string().nullable(),
  payload: z.string(),
  to_disk_ms: z.number(),
});

const notShown = z.looseObject({ entries: z.number() });

export const events = command({
  name: "events",
  summary: "Show what happens to the next messages, of all devices or one, live",
  options: {
    ...runningOptions,
    json: toggle("--json", "Print each event as a line of JSON, those of the sinks too"),
    follow: toggle("--follow", "Run until interrupted; that is the default"),
    device: deviceOption("--device <tenant/device>", "Only of this device"),
    count: number("--count <n>", "End after this many messages; 0: never", { default: 0 }),
  },
  async run(context, { options: { device, count, json, ...which } }) {
    const path = withQuery("/admin/follow", { tenant: device?.tenantId, device: device?.deviceId });
    let seen = 0;
    for await (const { event, data } of clientOf(context, which).events(path)) {
      if (json) context.stdout(jsonLine({ event, ...Object(data) }));
      else if (event === "entry") context.stdout(lineOf(entry.parse(data)));
      else if (event === "not_shown") context.stderr(`${notShown.parse(data).entries} more in this second\n`);
      if (event === "entry" && ++seen === count) return 0;
    }
    if (!context.signal.aborted)
      throw new Error(
        "the gateway ended this: it stops, its token was renewed, or who reads here did not keep up",
      );
    return 0;
  },
});

function lineOf({
  received_at: at,
  verdict,
  stage,
  mapping,
  detail,
  topic,
  payload,
  to_disk_ms: ms,
}: z.infer<typeof entry>): string {
  const where = stage ? ` at stage ${stage}` : "";
  const why = detail === null ? "" : ` (${detail})`;
  const by = mapping ? ` by mapping ${mapping}` : "";
  return `${oneLine(`${at} ${verdict}${where}${why} ${topic}${by} ${payload} to disk in ${ms} ms`)}\n`;
}
