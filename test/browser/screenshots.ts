/**
 * Makes docs/images: the page of a site that works, and of the same site after its PostgreSQL was stopped. The compiled gateway, a real
 * Mosquitto and PostgreSQL and a simulated fleet; only the curves of the hours before are invented. `bun run test/browser/screenshots.ts`
 */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Sample } from "../../src/admin/history.ts";
import { closeBrowser, openPage } from "../kit/chromium.ts";
import { executable, sluice, startGateway } from "../kit/gateway.ts";
import { startMosquitto } from "../kit/mosquitto.ts";
import { startPostgres } from "../kit/postgres.ts";

const images = join(import.meta.dir, "../../docs/images");
/** They are shown on the README: small enough to load at once. */
const bytesMax = 100_000;
/** Until the outlook is known: hours left, time to drain. */
const settleMs = 65_000;
const fleet = ["--devices", "40", "--tenants", "acme,globex", "--seed", "7"];
const faults = "bad-token=0.01,unknown-device=0.005,malformed-json=0.004,clock-skew=0.01,duplicate=0.01";

/** A day with a shift that begins at six. */
function sample(minutesAgo: number): Sample {
  const at = new Date(Date.now() - minutesAgo * 60_000);
  const shift =
    1 + Math.max(0, Math.sin(((at.getUTCHours() * 60 + at.getUTCMinutes() - 360) / 1440) * 2 * Math.PI));
  const wave = 1 + 0.04 * Math.sin(minutesAgo * 1.7) + 0.03 * Math.sin(minutesAgo * 0.31);
  const slow = minutesAgo > 400 && minutesAgo < 430 ? 6 : 1;
  return {
    at: at.toISOString(),
    accepted: Math.round(5_400 * shift * wave),
    duplicate: Math.round(20 * wave),
    rejected: {
      TOKEN_INVALID: Math.round(24 * wave),
      UNREGISTERED_DEVICE: Math.round(11 * wave),
      MALFORMED_JSON: 9,
    },
    to_disk_ms: { p50: 5, p99: 10 },
    to_sink_ms: { postgres: { p50: Math.round(25 * slow * wave), p99: Math.round(80 * slow * wave) } },
    waiting: { postgres: slow === 1 ? Math.round(30 * wave) : 60 * (430 - minutesAgo) },
    spool_bytes: 40_000,
  };
}

const scratch = mkdtempSync(join(tmpdir(), "sluice-screenshots-"));
const dataDir = join(scratch, "data");
mkdirSync(dataDir);
mkdirSync(images, { recursive: true });
const day = Array.from({ length: 1_439 }, (_, i) => `${JSON.stringify(sample(1_439 - i))}\n`);
writeFileSync(join(dataDir, "history.ndjson"), day.join(""));

const mosquitto = await startMosquitto();
const postgres = await startPostgres();
const MQTT_URL = `mqtt://127.0.0.1:${mosquitto.port}`;
const env = { DATA_DIR: dataDir, MQTT_URL, DATABASE_URL: postgres.url, GATEWAY_ID: "hall-7" };
await done("migrate");
writeFileSync(join(scratch, "fleet.csv"), await done("simulate", "--print-registry", "csv", ...fleet));
await done("devices", "import", join(scratch, "fleet.csv"));
const gateway = await startGateway(env, dataDir);
const devices = Bun.spawn(
  [executable, "simulate", "--broker", MQTT_URL, "--rate", "120", "--faults", faults, ...fleet],
  { stdout: "ignore", stderr: "ignore" },
);
try {
  const { page } = await openPage(gateway.url, { width: 1_040 });
  await Bun.sleep(settleMs);
  await page.locator("#sentence h2", { hasText: "Working" }).waitFor();
  const shoot = async (name: string, height: number) => {
    const path = join(images, `${name}.png`);
    await page.screenshot({ path, fullPage: true, clip: { x: 0, y: 0, width: 1_040, height } });
    if (statSync(path).size > bytesMax) throw new Error(`${path} is larger than ${bytesMax} bytes`);
    console.log(`${path}: ${statSync(path).size} bytes`);
  };
  await shoot("working", 900);
  await postgres.stop();
  await page.locator("#sentence h2", { hasText: "Sink postgres" }).waitFor();
  await page.locator("#place-sink-postgres").click();
  await Bun.sleep(8_000);
  await shoot("troubled", 700);
} finally {
  devices.kill();
  await closeBrowser();
  await gateway.kill9();
  await postgres.stop().catch(() => {});
  await mosquitto.dispose();
  rmSync(scratch, { recursive: true, force: true });
}

/** What the command printed. @throws if it did not do its work */
async function done(...words: string[]): Promise<string> {
  const { code, out, err } = await sluice(env, ...words);
  if (code !== 0) throw new Error(`sluice ${words[0]} ended with ${code}: ${err}`);
  return out;
}
