/**
 * `bun run bench page [seconds]`: what the page costs the gateway, in CPU of a core: while nobody looks, while one person does (Chromium
 * at the real page), and after he has gone. Nothing comes in meanwhile, so that all of it is the page's, beside what an idle gateway takes.
 */
import { chromiumAbsent, closeBrowser, openPage } from "../kit/chromium.ts";
import { type GatewayProcess, startGateway } from "../kit/gateway.ts";

/** What it may cost while one person looks. */
const shareMax = 0.01;
/** The start's own work is over. */
const settledMs = 10_000;

export async function run([seconds = "60"]: readonly string[]): Promise<void> {
  if (chromiumAbsent !== "") throw new Error(chromiumAbsent);
  const gateway = await startGateway({ BROKER_LISTEN: "127.0.0.1:0" });
  try {
    await Bun.sleep(settledMs);
    const idle = await shareOf(gateway, Number(seconds));
    const { page } = await openPage(gateway.url);
    await page.locator("#sentence").waitFor();
    await Bun.sleep(settledMs);
    const looking = await shareOf(gateway, Number(seconds));
    await closeBrowser();
    const after = await shareOf(gateway, Number(seconds));
    for (const [when, share] of Object.entries({
      "nobody looks": idle,
      "one looks": looking,
      "nobody again": after,
    }))
      console.log(`${when.padEnd(14)} ${percent(share)}`);
    console.log(`the page costs ${percent(looking - idle)} of a core; it may cost ${percent(shareMax)}`);
    if (looking - idle > shareMax) throw new Error("the page costs more than it may");
  } finally {
    await closeBrowser();
    await gateway.stop();
  }
}

/** Of a core, over so many seconds. */
async function shareOf(gateway: GatewayProcess, seconds: number): Promise<number> {
  const [cpu, startedMs] = [gateway.cpuMicros(), performance.now()];
  await Bun.sleep(seconds * 1000);
  return (gateway.cpuMicros() - cpu) / 1000 / (performance.now() - startedMs);
}

const percent = (share: number) => `${(share * 100).toFixed(2)} %`;
