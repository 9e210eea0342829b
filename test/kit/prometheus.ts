/** Prometheus itself, which scrapes a gateway as a site's would: its own parser decides whether /metrics can be read. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./port.ts";
import { until } from "./until.ts";

const binary = Bun.which("prometheus");

/** "" if it is there, else why not. */
export const prometheusAbsent =
  binary === null ? "prometheus is not installed (apt-get install prometheus)" : "";

export interface Target {
  readonly health: "up" | "down" | "unknown";
  readonly lastError: string;
}

interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [seconds: number, value: string];
}

export interface Prometheus {
  /** The target after it was scraped. */
  scraped(): Promise<Target>;
  /** What a query finds. */
  query(query: string): Promise<readonly Sample[]>;
  /** Name → unit, as the target told them: only OpenMetrics does. */
  units(): Promise<ReadonlyMap<string, string>>;
  stop(): Promise<void>;
}

/** @param target host:port */
export async function startPrometheus(target: string): Promise<Prometheus> {
  const directory = mkdtempSync(join(tmpdir(), "sluice-prometheus-"));
  const config = join(directory, "prometheus.yml");
  const job = { job_name: "sluice", static_configs: [{ targets: [target] }] };
  // YAML includes JSON.
  const scraping = { scrape_interval: "1s", scrape_timeout: "1s" };
  writeFileSync(config, JSON.stringify({ global: scraping, scrape_configs: [job] }));
  const address = `127.0.0.1:${await freePort()}`;
  const words = [`--config.file=${config}`, `--storage.tsdb.path=${directory}`];
  const server = Bun.spawn([binary ?? "prometheus", ...words, `--web.listen-address=${address}`], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  const ask = async <T>(path: string): Promise<T> => {
    const response = await fetch(`http://${address}/api/v1/${path}`);
    return ((await response.json()) as { data: T }).data;
  };
  const firstTarget = async (): Promise<Target | undefined> =>
    (await ask<{ activeTargets: readonly Target[] }>("targets").catch(() => undefined))?.activeTargets[0];

  return {
    async scraped() {
      await until(async () => ((await firstTarget())?.health ?? "unknown") !== "unknown");
      return (await firstTarget()) ?? { health: "unknown", lastError: "it has no target" };
    },
    query: async (query) =>
      (await ask<{ result: readonly Sample[] }>(`query?query=${encodeURIComponent(query)}`)).result,
    async units() {
      const told = await ask<readonly { metric: string; unit: string }[]>("targets/metadata");
      return new Map(told.map(({ metric, unit }) => [metric, unit]));
    },
    async stop() {
      server.kill();
      await server.exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
