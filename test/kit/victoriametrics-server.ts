/** The real VictoriaMetrics of Debian: a free port, its files in a temporary directory, ended by process id. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./port.ts";
import type { Sample } from "./victoriametrics.ts";

export interface VictoriaMetricsServer {
  readonly url: string;
  /** All that is stored; it answers before it has stored, so `count` samples are waited for. */
  samples(count: number): Promise<Sample[]>;
  stop(): Promise<void>;
}

const binary = Bun.which("victoria-metrics") ?? "/usr/bin/victoria-metrics";

/** "" if it can be started, else why not. */
export function victoriaMetricsAvailable(): string {
  return existsSync(binary) ? "" : "victoria-metrics is not installed (apt-get install victoria-metrics)";
}

export async function startVictoriaMetricsServer(): Promise<VictoriaMetricsServer> {
  const dir = mkdtempSync(join(tmpdir(), "sluice-victoriametrics-"));
  const address = `127.0.0.1:${await freePort()}`;
  const flags = [`-httpListenAddr=${address}`, `-storageDataPath=${dir}`, "-retentionPeriod=100y"];
  const running = Bun.spawn([binary, ...flags], { stdout: "ignore", stderr: "ignore" });
  const url = `http://${address}`;
  for (const end = Date.now() + 20_000; !(await isUp(url));) {
    if (Date.now() > end) throw new Error(`VictoriaMetrics does not answer at ${url}`);
    await Bun.sleep(50);
  }
  return {
    url,
    async samples(count) {
      for (const end = Date.now() + 20_000; ; await Bun.sleep(20)) {
        const samples = await exported(url);
        if (samples.length >= count || Date.now() > end) return samples;
      }
    },
    async stop() {
      running.kill("SIGTERM");
      await running.exited;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function exported(url: string): Promise<Sample[]> {
  await fetch(`${url}/internal/force_flush`);
  const every = new URLSearchParams({ "match[]": '{__name__!=""}', end: "2100-01-01T00:00:00Z" });
  const answer = await fetch(`${url}/api/v1/export?${every.toString()}`);
  const lines = (await answer.text()).split("\n").filter((line) => line !== "");
  return lines.flatMap((line) => samplesOf(JSON.parse(line) as Exported));
}

interface Exported {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly number[];
  readonly timestamps: readonly number[];
}

function samplesOf({ metric, values, timestamps }: Exported): Sample[] {
  const { __name__: name = "", ...labels } = metric;
  return values.map((value, i) => ({ name, labels, value, ms: timestamps[i] ?? 0 }));
}

const isUp = (url: string) =>
  fetch(`${url}/health`).then(
    ({ status }) => status === 200,
    () => false,
  );
