/** The executable, fed with secrets in every place: none of its files and no line of its log holds one. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { localRegistry } from "../kit/stores.ts";
import { aDevice, sha256 } from "../kit/builders.ts";
import { executable, startGateway, statsWhen } from "../kit/gateway.ts";
import { freePort } from "../kit/port.ts";
import { formsOf, hidings, secrets } from "../kit/secrets.ts";

const dir = mkdtempSync(join(tmpdir(), "sluice-secrets-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** One secret in this many is looked for. */
const sampled = 12;

describe.skipIf(!existsSync(executable))("the executable (skipped if dist/sluice is missing)", () => {
  test("keeps and logs no secret", async () => {
    const dataDir = join(dir, "data");
    const port = await freePort();
    const env = {
      BROKER_LISTEN: `127.0.0.1:${port}`,
      MODE: "DEV",
      STORE_REJECTS: "1",
      MIRROR_REJECTS_TO_RAW: "1",
      LOG_LEVEL: "debug",
      // One message per group: small groups are written uncompressed.
      SPOOL_LINGER_MS: "0",
    };
    const first = await startGateway(env, dataDir);
    const registry = localRegistry({ path: join(dataDir, "local.db") });
    const { tenantId, deviceId, siteId } = aDevice();
    await registry.add([{ tenantId, deviceId, siteId, tokenHash: sha256(secrets[1] ?? "") }]);
    await registry.close();
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { clientId: "of-many-secrets" });
    let sent = 0;
    for (const secret of secrets) {
      let n = 0;
      for (const { topic, payload } of hidings(secret)) {
        if (n++ % sampled > 0) continue;
        await client.publishAsync(topic, payload, { qos: 1 });
        sent++;
      }
    }
    await client.endAsync();
    await statsWhen(first, ({ ingest, sinks }) => ingest.received === sent && sinks["local"]?.waiting === 0);
    await first.stop();

    const files = readdirSync(dataDir).map((name) => [name, readFileSync(join(dataDir, name))] as const);
    files.push(["the log", Buffer.from(first.log())]);
    expect(files.map(([name]) => name)).toContain("spool.db");
    const leaks = files.flatMap(([name, bytes]) =>
      secrets
        .filter((secret) => formsOf(secret).some((form) => bytes.includes(form)))
        .map((secret) => [name, secret]),
    );
    expect(leaks).toEqual([]);
    // The place where it was blanked can be found.
    expect(files.find(([name]) => name === "local.db")?.[1].includes('"***"')).toBe(true);
  }, 60_000);
});
