/**
 * Changes of the registry in PostgreSQL, as its triggers (postgres-schema.ts) tell them: one notification per statement. The
 * watch does not claim to stand if the triggers are missing, or see not all. Devices are then read again every second, as whenever it does not stand.
 * If tables or triggers are others than a second ago, all devices are read again once.
 */
import { boundedQuery } from "./bounds.ts";
import type { DeviceId } from "../../core/device.ts";
import { explain, type Log } from "../../core/log/log.ts";
import { literal } from "./literals.ts";
import type { Postgres, Sql } from "./postgres-client.ts";
import { madeOf, registryChannel, whyUntold } from "./postgres-schema.ts";
import { Said } from "../../core/log/said.ts";
import { hearsItself, listen } from "./watched-listen.ts";
import type { RegistryWatcher } from "../../core/registry.ts";

export interface Watching {
  readonly db: Postgres;
  readonly log: Log;
  tablesExist(): Promise<void>;
  readonly watcher: RegistryWatcher;
}

/** Notifies the watcher until the returned function is called. */
export function watchChanges({ db, log, tablesExist, watcher }: Watching): () => Promise<void> {
  const said = new Said();
  let made: string | null | undefined;
  return listen({
    options: db.options,
    channel: registryChannel,
    async check(sql) {
      await tablesExist();
      const found = await checkTold(sql, db.options.timeoutMs);
      if (made !== undefined && found !== made) watcher.tenant(null);
      made = found;
    },
    notify: notifier(db),
    notified: (payload) => notifyWatcher(watcher, payload),
    restored() {
      said.forget();
      log.info("listening for changes of the registry");
      watcher.restored();
    },
    lost(why) {
      const text = explain(why);
      if (said.isNew(text))
        log.warn(
          { reason: text },
          "changes of the registry are not being told: devices are read anew every second",
        );
      watcher.unheard?.(text);
      watcher.lost();
    },
  });
}

const notifier = (db: Postgres) => async (channel: string, payload: string) =>
  void (await db.ask("notifying ourselves", `select pg_notify(${literal(channel)}, ${literal(payload)})`));

/** For `sluice check`. @throws why a change of the registry would not be heard */
export function hearsChanges(db: Postgres): Promise<void> {
  return hearsItself({ options: db.options, channel: registryChannel, notify: notifier(db) });
}

/** @returns what the registry is made of. @throws why its triggers do not tell of all changes */
async function checkTold(sql: Sql, timeoutMs: number): Promise<string | null> {
  const results = await sql.unsafe<{ why: string | null; made: string | null }[][]>(
    boundedQuery(timeoutMs, `${whyUntold} as why, ${madeOf} as made`),
  );
  const { why = null, made = null } = results.at(-1)?.[0] ?? {};
  if (why) throw new Error(why);
  return made;
}

/** A payload as sluice_registry_changed() writes it; anything else might mean anything. */
function notifyWatcher(watcher: RegistryWatcher, payload: string): void {
  const news = parse(payload);
  if (news.settings === true) watcher.settings();
  else if (Array.isArray(news.devices) && news.devices.every(isPair)) {
    watcher.devices(news.devices.flatMap(named));
  } else watcher.tenant(typeof news.tenant === "string" ? news.tenant : null);
}

/** A table without its primary key may have a device without a name. */
const isPair = (names: unknown): names is [tenantId: string, deviceId: string] =>
  Array.isArray(names) && names.length === 2 && names.every((name) => typeof name === "string");

/** Columns of char(n) are told with their blanks, and the device is known without. */
function named([tenantId, deviceId]: [string, string]): DeviceId[] {
  const short = { tenantId: tenantId.trimEnd(), deviceId: deviceId.trimEnd() };
  const isShort = short.tenantId === tenantId && short.deviceId === deviceId;
  return isShort ? [short] : [short, { tenantId, deviceId }];
}

function parse(payload: string): { settings?: unknown; devices?: unknown; tenant?: unknown } {
  try {
    return Object(JSON.parse(payload));
  } catch {
    return {};
  }
}
