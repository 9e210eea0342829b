/**
 * `sluice cache …`: the auth cache of a running gateway. The cache lives in that process, so HTTP is the only way to
 * it.
 */
import { z } from "zod";
import { command, type CommandGroup, type Context, string } from "./command.ts";
import { segment } from "./gateway-client.ts";
import { jsonLine, table } from "./report.ts";
import { clientOf, runningOptions, type WhichGateway } from "./which-gateway.ts";
import { counted } from "../core/text/readable.ts";

const stats = command({
  name: "stats",
  summary: "Show how well the cache works",
  options: runningOptions,
  async run(context, { options }) {
    const answer = shown.parse(await clientOf(context, options).request("GET", "/admin/cache/stats"));
    if (options.json) return print(context, answer);
    const { bands, ...counts } = answer;
    const bandOf = (name: string) => (bands[name] === null ? "not known yet" : (bands[name] ?? ""));
    const rows = Object.entries(counts).map(([name, value]) => [name, textOf(value), bandOf(name)]);
    context.stdout(table([["", "value", "band"], ...rows]));
    return 0;
  },
});

const clear = command({
  name: "clear",
  summary: "Forget all devices; each is looked up again with its next message",
  options: runningOptions,
  run: async (context, { options }) => forget(context, options, "POST", "/admin/cache/clear"),
});

const invalidate = command({
  name: "invalidate",
  summary: "Forget a tenant's devices, or one of them",
  arguments: { tenant: "The tenant's id" },
  options: { device: string("--device <id>", "Only this device"), ...runningOptions },
  run: async (context, { args, options }) => {
    const tenant = segment(args.tenant);
    const path =
      options.device === undefined
        ? `/admin/cache/tenants/${tenant}`
        : `/admin/cache/devices/${tenant}/${segment(options.device)}`;
    return forget(context, options, "DELETE", path);
  },
});

export const cache: CommandGroup = {
  name: "cache",
  summary: "Inspect a running gateway's auth cache, or make it forget devices",
  commands: [stats, clear, invalidate],
};

type Asked = WhichGateway & { readonly json: boolean };

const shown = z.looseObject({ bands: z.record(z.string(), z.string().nullable()) });
const forgotten = z.object({
  status: z.string(),
  forgotten: z.number().optional(),
  cached: z.boolean().optional(),
});

async function forget(context: Context, options: Asked, method: string, path: string): Promise<number> {
  const answer = forgotten.parse(await clientOf(context, options).request(method, path));
  if (options.json) return print(context, answer);
  const held = answer.forgotten ?? (answer.cached === undefined ? undefined : Number(answer.cached));
  const told = held === undefined ? "" : `: ${counted(held, "device was", "devices were")} cached`;
  context.stdout(`${answer.status}${told}\n`);
  return 0;
}

function print(context: Context, answer: unknown): number {
  context.stdout(jsonLine(answer));
  return 0;
}

function textOf(value: unknown): string {
  if (value === null) return "-";
  return typeof value === "number" && !Number.isInteger(value) ? value.toFixed(4) : JSON.stringify(value);
}
