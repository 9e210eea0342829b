/**
 * `sluice settings …`: the settings that the table app_settings may change while gateways run. Every gateway notices
 * a change by itself.
 */
import { createSettingStore } from "../admin/live-stores.ts";
import { SettingRefused, type SettingRow, type SettingStore } from "../admin/setting-store.ts";
import { silentLog } from "../core/log/log.ts";
import { createLivePolicy } from "../admin/policy.ts";
import { command, type CommandGroup, type Context, json, UsageError } from "./command.ts";
import { configured } from "./configuration.ts";
import { gatewayClient, settingsOf } from "./gateway-client.ts";
import { openConfiguredStore } from "./configured-store.ts";
import { jsonLine, table } from "./report.ts";
import { registryOptions, type WhichGateway } from "./which-gateway.ts";

const common = { ...registryOptions, json };
const which = { name: "The setting, such as RATE_LIMIT_RPS" };

const list = command({
  name: "list",
  summary: "Show the settings that may be changed while gateways run, and what is in force",
  options: common,
  run: (context, { options }) =>
    withSettingStore(context, options, async (settings) =>
      print(context, await settings.list(), options.json),
    ),
});

const set = command({
  name: "set",
  summary: "Change a setting on every gateway that shares this registry",
  arguments: { ...which, value: "The new value" },
  options: common,
  run: (context, { args, options }) => change(context, options, args.name.toUpperCase(), args.value),
});

const unset = command({
  name: "unset",
  summary: "Use the value from each gateway's environment again, else the default",
  arguments: which,
  options: common,
  run: (context, { args, options }) => change(context, options, args.name.toUpperCase(), null),
});

export const settings: CommandGroup = {
  name: "settings",
  summary: "Change settings while gateways run",
  commands: [list, set, unset],
};

type Asked = WhichGateway & { readonly json: boolean };

function change(context: Context, options: Asked, name: string, value: string | null): Promise<number> {
  const put = async (store: SettingStore) => {
    const row = await store.set(name, value).catch((error: unknown) => {
      throw error instanceof SettingRefused ? new UsageError(error.message) : error;
    });
    if (row === undefined)
      throw new UsageError(
        `${name} is no setting that can be changed while gateways run; \`sluice settings list\` shows those`,
      );
    return print(context, [row], options.json);
  };
  return withSettingStore(context, options, put, value !== null);
}

async function withSettingStore(
  context: Context,
  options: Asked,
  work: (store: SettingStore) => Promise<number>,
  mayMake = false,
): Promise<number> {
  if (options.gateway !== undefined)
    return work(settingsOf(gatewayClient(context, options.gateway, options.tokenFile)));
  const { judge } = configured(context).config;
  const store = openConfiguredStore(context, mayMake);
  const policy = createLivePolicy(judge, silentLog);
  const read = async () => policy.apply(await store.registry.settings());
  try {
    await read();
    return await work(createSettingStore(store.registry, policy.get, read));
  } finally {
    await store.close();
  }
}

function print(context: Context, rows: readonly SettingRow[], asJson: boolean): number {
  if (asJson) context.stdout(jsonLine(rows));
  else {
    const cells = rows.map(({ key, value, source, unit }) => [key, value, source, unit]);
    context.stdout(table([["setting", "value", "from", "unit"], ...cells]));
    for (const { key, stored, mistake } of rows)
      if (mistake !== null)
        context.stderr(`warning: app_settings ${key}="${stored}" ${mistake}; it is not in force\n`);
  }
  return 0;
}
