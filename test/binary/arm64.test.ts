/** The executable for arm64, which most gateways at a site are, under an emulated processor with Debian's libc for it. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mqtt from "mqtt";
import { startGateway, statsWhen } from "../kit/gateway.ts";

setDefaultTimeout(120_000);

const directory = mkdtempSync(join(tmpdir(), "sluice-arm64-"));
const program = join(directory, "sluice");
afterAll(() => rmSync(directory, { recursive: true }));

const libc = "/usr/aarch64-linux-gnu";
const emulator = Bun.which("qemu-aarch64-static");
const isNative = process.arch === "arm64";
const why =
  isNative || (emulator !== null && existsSync(libc))
    ? ""
    : "skipped: no emulator (apt-get install qemu-user-static libc6-arm64-cross)";
const command = isNative ? [program] : [emulator ?? "", "-L", libc, program];

const env = { DATA_DIR: join(directory, "data"), HTTP_LISTEN: "127.0.0.1:0", BROKER_LISTEN: "127.0.0.1:0" };
function sluice(...words: string[]): string {
  const { stdout, stderr } = Bun.spawnSync([...command, ...words], { env, stdin: "ignore" });
  return stdout.toString() + stderr.toString();
}

describe.skipIf(why !== "")(`arm64 ${why}`, () => {
  beforeAll(() => {
    const words = [process.execPath, "build.ts", "--target=linux-arm64", `--outfile=${program}`];
    const built = Bun.spawnSync(words, { cwd: join(import.meta.dir, "../.."), stdin: "ignore" });
    if (!built.success) throw new Error(built.stderr.toString());
  });

  test("says its version, and checks this host", () => {
    expect(sluice("--version")).toMatch(/^sluice \d/);
    expect(sluice("check")).toMatch(/^disk +ok/m);
  });

  test("takes a message, stores it and stops with balanced books", async () => {
    const token = sluice("devices", "add", "acme", "pump", "--site", "hall-7").trim().split("\n")[0];
    const gateway = await startGateway(env, env.DATA_DIR, { command });
    const port = /"broker":\{"host":"127\.0\.0\.1","port":(\d+)\}/.exec(gateway.log())?.[1];
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 4 });
    const message = { site_id: "hall-7", provision_token: token, metrics: { temp_c: 21.5 } };
    await client.publishAsync("tenant/acme/device/pump/telemetry", JSON.stringify(message), { qos: 1 });
    await client.endAsync();
    const stats = await statsWhen(gateway, ({ sinks }) => sinks["local"]?.delivered === 1);
    expect([stats.balanced, stats.ingest.accepted]).toEqual([true, 1]);
    expect(await gateway.stop()).toBe(0);
  });
});
