/**
 * `sluice latest`: the latest values that a running gateway knows, of one device; or a list of the devices that were
 * heard last.
 */
import { z } from "zod";
import { latestDevice, latestValue, seenList } from "../http/latest-endpoints.ts";
import { command, type Context, moment, number, string, UsageError } from "./command.ts";
import { notFound, segment, withQuery } from "./gateway-client.ts";
import { jsonLine, printList } from "./report.ts";
import { clientOf, runningOptions, type WhichGateway } from "./which-gateway.ts";

export const latest = command({
  name: "latest",
  summary: "Show the latest values of a device, or the devices that were heard last",
  options: {
    tenant: string("--tenant <id>", "The tenant"),
    device: string("--device <id>", "The device, whose values are shown"),
    since: moment("--since <time>", "Without --device: only devices heard since this time"),
    limit: number("--limit <n>", "Without --device: at most this many", { default: 100, min: 1, max: 1_000 }),
    ...runningOptions,
    tokenFile: {
      ...runningOptions.tokenFile,
      help: "A file that holds READ_TOKEN or ADMIN_TOKEN, instead of ADMIN_TOKEN in the environment",
    },
  },
  run(context, { options: { tenant, device, since, limit, json: asJson, ...which } }) {
    if (device === undefined) return printHeard(context, which, { tenant, since, limit, asJson });
    if (tenant === undefined) throw new UsageError("--device needs --tenant");
    return printValues(context, which, { tenant, device, asJson });
  },
});

interface Heard {
  readonly tenant: string | undefined;
  readonly since: string | undefined;
  readonly limit: number;
  readonly asJson: boolean;
}

async function printHeard(
  context: Context,
  which: WhichGateway,
  { tenant, since, limit, asJson }: Heard,
): Promise<number> {
  const path = withQuery("/devices", { tenant, seen_since: since, limit });
  const answer = await clientOf(context, which).request("GET", path);
  if (asJson) {
    context.stdout(jsonLine(answer));
    return 0;
  }
  const { devices, cursor } = seenList.parse(answer);
  const rows = devices.map((it) => [it.tenant_id, it.device_id, it.last_seen, seconds(it.age_ms)]);
  const isFiltered = tenant !== undefined || since !== undefined;
  const none = isFiltered ? "no device that matches was heard" : "no device was heard";
  printList(context, ["tenant", "device", "last heard", "seconds ago"], rows, none);
  if (cursor !== null) context.stderr("there are more: see --limit, --tenant and --since\n");
  return 0;
}

interface Asked {
  readonly tenant: string;
  readonly device: string;
  readonly asJson: boolean;
}

/** Values as pairs: a record of zod's lacks the metric `__proto__`. */
const printed = latestDevice.extend({
  values: z
    .unknown()
    .transform((values) => Object.entries(values ?? {}))
    .pipe(z.array(z.tuple([z.string(), latestValue]))),
});

async function printValues(
  context: Context,
  which: WhichGateway,
  { tenant, device, asJson }: Asked,
): Promise<number> {
  const path = `/devices/${segment(tenant)}/${segment(device)}/latest`;
  const answer = await clientOf(context, which).request("GET", path, undefined, notFound);
  if (answer === undefined) {
    context.stderr(`nothing is known about ${tenant}/${device}, or it has been silent for long\n`);
    return 1;
  }
  const { last_seen, values } = printed.parse(answer);
  const rows = values.map(([metric, { value, time, age_ms }]) => [
    metric,
    JSON.stringify(value),
    time,
    seconds(age_ms),
  ]);
  if (asJson) context.stdout(jsonLine(answer));
  else printList(context, ["metric", "value", "time", "seconds ago"], rows, "no value of it is known");
  context.stderr(`last heard ${last_seen}\n`);
  return 0;
}

const seconds = (ms: number) => (ms / 1000).toFixed(1);
