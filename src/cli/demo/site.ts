/**
 * The site of `sluice demo`: a data directory with the fleet in its registry, free ports, and a configuration.
 *
 * The same `loadConfig` reads the configuration as for a real gateway, but from a record made here and not from the
 * environment: a MQTT_URL or DATABASE_URL that happens to be set must not make the demo touch a real site.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Database } from "bun:sqlite";
import { type Config, loadConfig } from "../../config/index.ts";
import { localFile, migrateSqlite } from "../../store/sqlite/local-file.ts";
import { openSqlite } from "../../core/file/sqlite.ts";
import type { FleetDevice } from "../../simulator/device.ts";
import { registrySql } from "../../simulator/registration.ts";
import { ConfigurationError } from "../command.ts";

const httpPort = 8080;

export interface DemoSite {
  readonly config: Config;
  readonly dataDir: string;
  /** Removes the directory if it was a temporary one. */
  leave(): void;
}

export interface DemoSiteOptions {
  /** Absent: a temporary directory. */
  readonly dataDir: string | undefined;
  /** The port of HTTP; 0: 8080 if free, else any. */
  readonly port: number;
  readonly rate: number;
  readonly window: number;
}

export async function openDemoSite(options: DemoSiteOptions): Promise<DemoSite> {
  const port = options.port || ((await isFree(httpPort)) ? httpPort : 0);
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), "sluice-demo-"));
  const leave = () => {
    if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
  };
  try {
    return { config: demoConfig(dataDir, port, options), dataDir, leave };
  } catch (error) {
    leave();
    throw error;
  }
}

/**
 * Opens the local store of a gateway that is built but not started, and registers the fleet in it. Only then does the
 * gateway hold the directory's lock, so that a fleet is never registered at a site that another gateway serves.
 */
export function openDemoStore(dataDir: string, devices: readonly FleetDevice[]): Database {
  const store = openSqlite(localFile(dataDir));
  migrateSqlite(store);
  for (const statement of registrySql(devices)) store.run(statement);
  return store;
}

function demoConfig(dataDir: string, port: number, { rate, window }: DemoSiteOptions): Config {
  const loaded = loadConfig({
    DATA_DIR: dataDir,
    GATEWAY_ID: "demo",
    HTTP_LISTEN: `127.0.0.1:${port}`,
    BROKER_LISTEN: "127.0.0.1:0",
    LOG_LEVEL: "warn",
    LOG_STATS_EVERY_SECONDS: "0",
    MODE: "DEV",
    STORE_REJECTS: "1",
    // No verdict may depend on timing, so the limits are so high that even all messages in the name of one device stay
    // below them: in any period t the fleet sends at most rate × (t + 1 s) messages plus the window.
    RATE_LIMIT_RPS: String(Math.ceil(rate)),
    RATE_LIMIT_BURST: String(2 * Math.ceil(rate) + window),
  });
  if ("config" in loaded) return loaded.config;
  throw new ConfigurationError(`the demo cannot be configured:\n${loaded.mistakes.join("\n")}\n`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
