/**
 * `sluice devices …`: the registry from the command line. A token is printed once, when it is made, and is nowhere else:
 * the registry keeps its SHA-256. A running gateway hears of every change by itself.
 */
import { createHash, randomBytes } from "node:crypto";
import { z } from "zod";
import type { DeviceFilter, DeviceId, DeviceRecord, Registry } from "../registry/registry.ts";
import {
  command,
  type CommandGroup,
  type Context,
  neededWords,
  number,
  type Option,
  toggle,
  UsageError,
  words,
} from "./command.ts";
import { configured } from "./configuration.ts";
import { named, printDevice, printDevices, printToken, unknownDevice } from "./device-print.ts";
import { openRegistry } from "./registry.ts";

const pageMax = 1_000;

const json = toggle("--json", "Print the answer as JSON");
const which = { tenant: "The tenant's id", device: "The device's id" };

const add = command({
  name: "add",
  summary: "Register a device and print its token, once",
  arguments: which,
  options: {
    site: neededWords("--site <id>", "The site that its messages must name"),
    firmware: words("--firmware <version>", "Its firmware version"),
    metadata: metadata(),
    json,
  },
  run: (context, { args, options }) =>
    withRegistry(context, async (registry) => {
      const id = deviceId(args);
      const { token, tokenHash } = newToken();
      const [added] = await registry.add([
        {
          ...id,
          siteId: options.site,
          tokenHash,
          fwVersion: options.firmware ?? null,
          metadata: options.metadata,
        },
      ]);
      if (added !== true) {
        context.stderr(
          `${named(id)} is registered already; \`sluice devices rotate-token\` gives it a new token\n`,
        );
        return 1;
      }
      return printToken(context, id, token, options.json);
    }),
});

const list = command({
  name: "list",
  summary: "List devices",
  options: {
    tenant: words("--tenant <id>", "Only of this tenant"),
    site: words("--site <id>", "Only of this site"),
    status: words("--status <status>", "Only with this status"),
    match: words("--match <text>", "Only where the device's id contains this"),
    limit: number("--limit <n>", "At most so many", { default: 1_000_000, min: 1 }),
    json,
  },
  run: (context, { options }) =>
    withRegistry(context, async (registry) => {
      const filter = {
        ...(options.tenant !== undefined && { tenantId: options.tenant }),
        ...(options.site !== undefined && { siteId: options.site }),
        ...(options.status !== undefined && { status: options.status }),
        ...(options.match !== undefined && { match: options.match }),
      };
      const found = await listAll(registry, filter, options.limit);
      return printDevices(context, found, options.json);
    }),
});

const show = command({
  name: "show",
  summary: "Show a device",
  arguments: which,
  options: { json },
  run: (context, { args, options }) =>
    withRegistry(context, async (registry) => {
      const id = deviceId(args);
      return printDevice(context, id, await registry.get(id), options.json);
    }),
});

const revoke = setStatus("revoke", "REVOKED", "Refuse a device's messages from now on");
const activate = setStatus("activate", "ACTIVE", "Let a device's messages in again");

const rotateToken = command({
  name: "rotate-token",
  summary: "Give a device a new token and print it, once",
  arguments: which,
  options: {
    graceSeconds: number("--grace-seconds <n>", "How long the old token stays good", { default: 0 }),
    json,
  },
  run: (context, { args, options }) =>
    withRegistry(context, async (registry) => {
      const id = deviceId(args);
      const { token, tokenHash } = newToken();
      const changed = await registry.update(id, { tokenHash, graceMs: options.graceSeconds * 1000 });
      return changed === undefined
        ? unknownDevice(context, id)
        : printToken(context, id, token, options.json);
    }),
});

const remove = command({
  name: "remove",
  summary: "Remove a device from the registry; what it sent stays",
  arguments: which,
  run: (context, { args }) =>
    withRegistry(context, async (registry) => {
      const id = deviceId(args);
      if (!(await registry.remove(id))) return unknownDevice(context, id);
      context.stdout(`${named(id)} is removed\n`);
      return 0;
    }),
});

export const devices: CommandGroup = {
  name: "devices",
  summary: "Register devices, give them tokens, revoke them",
  commands: [add, list, show, revoke, activate, rotateToken, remove],
};

function setStatus(name: string, status: string, summary: string) {
  return command({
    name,
    summary,
    arguments: which,
    options: { json },
    run: (context, { args, options }) =>
      withRegistry(context, async (registry) => {
        const id = deviceId(args);
        return printDevice(context, id, await registry.update(id, { status }), options.json);
      }),
  });
}

async function withRegistry(
  context: Context,
  work: (registry: Registry) => Promise<number>,
): Promise<number> {
  const { config } = configured(context);
  const registry = openRegistry(config, context.createLog(config.general.logLevel, 2));
  try {
    return await work(registry);
  } finally {
    await registry.close();
  }
}

async function listAll(
  registry: Registry,
  filter: Omit<DeviceFilter, "limit" | "after">,
  limit: number,
): Promise<DeviceRecord[]> {
  const found: DeviceRecord[] = [];
  for (;;) {
    const wanted = Math.min(pageMax, limit - found.length);
    const after = found.at(-1);
    const page = await registry.list({ ...filter, limit: wanted, ...(after !== undefined && { after }) });
    found.push(...page);
    if (page.length < wanted || found.length >= limit) return found;
  }
}

/** 192 random bits: too many to guess, so that the plain SHA-256 which the registry has always held is enough. */
function newToken(): { token: string; tokenHash: string } {
  const token = `tok-${randomBytes(24).toString("base64url")}`;
  return { token, tokenHash: createHash("sha256").update(token).digest("hex") };
}

/** Each is one level of a topic name (MQTT 5 §4.7). */
function deviceId({ tenant, device }: { tenant: string; device: string }): DeviceId {
  for (const level of [tenant, device]) {
    if (level === "" || /[/+#]/.test(level)) {
      throw new UsageError(
        `"${level}" cannot be an id: it is one level of an MQTT topic, so not empty and without / + #`,
      );
    }
  }
  return { tenantId: tenant, deviceId: device };
}

function metadata(): Option<Readonly<Record<string, unknown>>> {
  const schema = z
    .string()
    .default("{}")
    .transform((text, context) => {
      try {
        return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
      } catch {
        context.addIssue({ code: "custom", message: "must be a JSON object" });
        return z.NEVER;
      }
    });
  return { flags: "--metadata <json>", help: "A JSON object kept with it", schema };
}
