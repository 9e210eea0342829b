/** The real InfluxDB 1.x of Debian: free ports, its files in a temporary directory, ended by process id. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./port.ts";

export interface Influxd {
  readonly url: string;
  /** Runs a query; the rows of its first series as objects, times in nanoseconds as text. */
  query(text: string, database?: string): Promise<Record<string, unknown>[]>;
  stop(): Promise<void>;
}

const binary = Bun.which("influxd") ?? "/usr/bin/influxd";

/** "" if it can be started, else why not. */
export function influxdAvailable(): string {
  return existsSync(binary) ? "" : "influxd is not installed (apt-get install influxdb)";
}

/** `data` and `http`: further lines of those sections of its configuration. */
export async function startInfluxd({
  data = "",
  http: httpLines = "",
}: { data?: string; http?: string } = {}): Promise<Influxd> {
  const dir = mkdtempSync(join(tmpdir(), "sluice-influxd-"));
  const [http, rpc] = [await freePort(), await freePort()];
  const config = join(dir, "influxdb.conf");
  writeFileSync(config, `${configOf(dir, http, rpc)}${httpLines}\n`.replace("[data]", `[data]\n${data}`));
  const running = Bun.spawn([binary, "-config", config], { stdout: "ignore", stderr: "ignore" });
  const url = `http://127.0.0.1:${http}`;
  await answering(url);
  return {
    url,
    query: (text, database) => query(url, text, database),
    async stop() {
      running.kill("SIGTERM");
      await running.exited;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function configOf(dir: string, http: number, rpc: number): string {
  return `reporting-disabled = true
bind-address = "127.0.0.1:${rpc}"
[meta]
  dir = "${dir}/meta"
[data]
  dir = "${dir}/data"
  wal-dir = "${dir}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:${http}"
  log-enabled = false
`;
}

async function answering(url: string): Promise<void> {
  for (const end = Date.now() + 20_000; ;) {
    try {
      if ((await fetch(`${url}/ping`)).status === 204) return;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    await Bun.sleep(50);
  }
}

interface Answer {
  results: { error?: string; series?: { columns: string[]; values: unknown[][] }[] }[];
}

/** 64-bit numbers are kept as text if a double would lose digits. */
async function query(url: string, text: string, database?: string): Promise<Record<string, unknown>[]> {
  const parameters = new URLSearchParams({
    q: text,
    epoch: "ns",
    ...(database === undefined ? {} : { db: database }),
  });
  const response = await fetch(`${url}/query?${parameters.toString()}`, { method: "POST" });
  const { results } = JSON.parse(
    await response.text(),
    exact as (key: string, value: unknown) => unknown,
  ) as Answer;
  if (results[0]?.error !== undefined) throw new Error(results[0].error);
  const series = results[0]?.series?.[0];
  return (series?.values ?? []).map((row) =>
    Object.fromEntries(row.map((value, i) => [series?.columns[i], value])),
  );
}

function exact(_: string, value: unknown, at: { source: string }): unknown {
  return typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(at.source)
    ? at.source
    : value;
}
