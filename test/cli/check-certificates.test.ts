/** `sluice check` and the certificates that the gateway shows to others. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execute } from "../../src/cli/index.ts";
import { silentLog } from "../../src/core/log/log.ts";
import { endedCertificate, makeCertificates } from "../kit/tls.ts";

const certificates = makeCertificates();
const DATA_DIR = mkdtempSync(join(tmpdir(), "sluice-check-certificates-"));
afterAll(() => {
  certificates.remove();
  rmSync(DATA_DIR, { recursive: true });
});

async function probed(more: Record<string, string>) {
  let out = "";
  await execute(["check", "--json"], {
    env: { DATA_DIR, HTTP_LISTEN: "127.0.0.1:0", BROKER_LISTEN: "127.0.0.1:0", ...more },
    stdout: (text) => void (out += text),
    stderr: () => {},
    signal: new AbortController().signal,
    createLog: () => silentLog,
  });
  const { probes } = JSON.parse(out) as { probes: { part: string; ok: boolean; detail: string }[] };
  return probes.find(({ part }) => part === "certificates");
}

test("one that has ended is named, which whoever refuses it does not do; without any there is no such row", async () => {
  const BROKER_TLS_LISTEN = "127.0.0.1:0";
  const known = { BROKER_TLS_LISTEN, BROKER_TLS_KEY: certificates.clientKey };
  expect(await probed({})).toBeUndefined();
  expect(await probed({ ...known, BROKER_TLS_CERT: certificates.clientCert })).toMatchObject({
    ok: true,
    detail: expect.stringMatching(/^BROKER_TLS_CERT is valid until 2\d{3}-\S+Z$/),
  });
  expect(await probed({ ...known, BROKER_TLS_CERT: endedCertificate(certificates) })).toMatchObject({
    ok: false,
    detail: expect.stringMatching(/^BROKER_TLS_CERT was valid until 2\S+Z: put the new one into the file$/),
  });
});
