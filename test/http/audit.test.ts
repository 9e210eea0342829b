/** The audit log's file. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/core/log/log.ts";
import { auditBytesMax, createAudit, whoHolds } from "../../src/http/audit.ts";
import { recordingLog } from "../kit/source.ts";
import { simulatedClock } from "../kit/clock.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-audit-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const change = { action: "devices.revoke", from: "10.0.0.7", tenant: "acme", device: "d1", status: 200 };

test("a change is a line in the log and a line in the file, which continues after a restart", () => {
  const { log, lines } = recordingLog();
  const file = join(directory, "audit.ndjson");
  for (let run = 0; run < 2; run++)
    createAudit({ file, who: "loopback", clock: simulatedClock(), log })(change);
  const wanted = { at: "2026-11-21T00:00:00.000Z", who: "loopback", ...change };
  expect(readFileSync(file, "utf8")).toBe(`${JSON.stringify(wanted)}\n`.repeat(2));
  expect(lines.map(({ audit }) => audit)).toEqual([wanted, wanted]);
});

test("it is bounded: one old file is kept", () => {
  const file = join(directory, "audit.ndjson");
  const audit = createAudit({ file, who: "loopback", clock: simulatedClock(), log: silentLog });
  // Blanks, for to mask as many letters takes seconds.
  const long = { ...change, text: " ".repeat(auditBytesMax / 4) };
  for (let n = 0; n < 9; n++) audit({ ...long, n });
  expect(statSync(file).size).toBeLessThanOrEqual(auditBytesMax);
  expect(statSync(`${file}.1`).size).toBeLessThanOrEqual(auditBytesMax);
  const kept = [`${file}.1`, file].flatMap((path) => readFileSync(path, "utf8").trim().split("\n"));
  expect(kept.map((line) => (JSON.parse(line) as { n: number }).n)).toEqual([3, 4, 5, 6, 7, 8]);
  expect(existsSync(`${file}.2`)).toBe(false);
});

test("a file that somebody moved away, just before it would have been, is begun anew", () => {
  const file = join(directory, "audit.ndjson");
  const audit = createAudit({ file, who: "loopback", clock: simulatedClock(), log: silentLog });
  const long = { ...change, text: " ".repeat(auditBytesMax * 0.6) };
  audit(long);
  rmSync(file);
  for (const n of [1, 2]) audit({ ...change, n, text: long.text.slice(n) });
  expect(JSON.parse(readFileSync(`${file}.1`, "utf8"))).toMatchObject({ n: 1 });
  expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ n: 2 });
});

test("a file that cannot be written is reported, and the change is in the log all the same", () => {
  const { log, lines } = recordingLog();
  const audit = createAudit({
    file: join(directory, "missing", "audit.ndjson"),
    who: "loopback",
    clock: simulatedClock(),
    log,
  });
  audit(change);
  expect(lines).toMatchObject([{ audit: change }, { file: expect.stringContaining("missing") }]);
});

test("a fingerprint tells tokens apart and shows nothing of them", () => {
  const [one, other] = [whoHolds("a-token-of-some-length"), whoHolds("a-token-of-some-lengthx")];
  expect(one).toMatch(/^token [0-9a-f]{6}$/);
  expect(one).not.toBe(other);
  expect(whoHolds(undefined)).toBe("loopback");
});
