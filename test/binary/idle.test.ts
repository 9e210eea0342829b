/**
 * What an idle gateway holds: memory of its own, and pages of the executable, which the kernel shares between gateways and takes back
 * when it wants memory. Of those it gives most back itself, again and again.
 */
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "bun:test";
import { openPageByPage } from "../../src/gateway/page-by-page.ts";
import { executable, type GatewayProcess, sluice, startGateway, statsWhen } from "../kit/gateway.ts";
import { until } from "../kit/until.ts";
import { mosquittoAvailable, startMosquitto } from "../kit/mosquitto.ts";

/** 24 MB were measured, and 28 for moments; 6 more with the table of numbers that MQTT.js keeps if nobody forbids it. */
const ownBytesMax = 27_500_000;
/** 54 MB without being given back, 19 to 30 with, and 7 to 10 where pages come one by one. */
const programBytesMax = 38_000_000;

function residentBytes({ pid }: GatewayProcess, of: "RssAnon" | "RssFile"): number {
  const [, kilobytes] =
    new RegExp(`${of}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) * 1024;
}

test.skipIf(!mosquittoAvailable() || !existsSync(executable))(
  "a gateway at a broker holds little of its own while nothing comes (skipped if mosquitto or the executable is missing)",
  async () => {
    const broker = await startMosquitto();
    const gateway = await startGateway({ MQTT_URL: `mqtt://127.0.0.1:${broker.port}` });
    try {
      await statsWhen(gateway, ({ source }) => (source as { connected: boolean }).connected);
      // Half a second later the garbage of the start, up to 5 MB, is gone.
      await until(() => residentBytes(gateway, "RssAnon") < ownBytesMax);
    } finally {
      await gateway.kill9();
      await broker.dispose();
    }
  },
);

test.skipIf(!existsSync(executable))(
  "a gateway gives pages of the executable back, and works on without them (skipped if the executable is missing)",
  async () => {
    const gateway = await startGateway({ BROKER_LISTEN: "127.0.0.1:0" });
    try {
      const broker = `mqtt://127.0.0.1:${/"broker":\{[^}]*"port":(\d+)/.exec(gateway.log())?.[1]}`;
      for (const count of [200, 400]) {
        await until(() => residentBytes(gateway, "RssFile") < programBytesMax);
        const words = ["--broker", broker, "--mqtt", "3.1.1", "--rate", "0", "--count", "200"];
        expect(await sluice({}, "simulate", ...words)).toMatchObject({ code: 0 });
        expect(await gateway.stats()).toMatchObject({ balanced: true, ingest: { received: count } });
      }
    } finally {
      await gateway.kill9();
    }
  },
);

/** Of the mapping with the program's code: proc_pid_smaps(5). */
function codeFlags({ pid }: GatewayProcess): string[] {
  const mappings = readFileSync(`/proc/${pid}/smaps`, "utf8").split(/^(?=[0-9a-f]+-)/m);
  const code = mappings.find((text) => / r-xp .* \d+ +\//.test(text.slice(0, text.indexOf("\n"))));
  return /^VmFlags: (.*)$/m.exec(code ?? "")?.[1]?.split(" ") ?? [];
}

test.skipIf(!existsSync(executable) || openPageByPage() === undefined)(
  "its code comes page by page (skipped if the executable is missing, and where the system has no such thing: page-by-page.ts)",
  async () => {
    const gateway = await startGateway({ BROKER_LISTEN: "127.0.0.1:0" });
    try {
      await until(() => codeFlags(gateway).includes("uw"));
    } finally {
      await gateway.kill9();
    }
  },
);
