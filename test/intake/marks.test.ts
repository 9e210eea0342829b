/** How far a log is durable: the mark that is written, and what of the log is read again after a crash. */
import { Database } from "bun:sqlite";
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Mark } from "../../src/core/message.ts";
import { Marks } from "../../src/intake/marks.ts";
import { aDeviceMessage, aRegistry, intake } from "../kit/intake.ts";
import { messagesMax } from "../kit/log-reader.ts";
import { spoolKit } from "../kit/spool.ts";

const kit = spoolKit();
afterEach(() => kit.clear());

const registry = () => aRegistry(["slow", "a"]);
const marked = (n: number, deviceId: string, key = "log") =>
  aDeviceMessage(n, deviceId, { mark: { key, value: String(n) } });

describe("the mark of a log", () => {
  test("is that of the last message before the first that waits", () => {
    const part = intake(kit, registry());
    const marks = () => Object.fromEntries(part.spool.sidecar.marks());
    part.cached.add("a");
    part.port.receive(marked(1, "a"));
    part.port.receive(marked(2, "slow"));
    part.port.receive(marked(3, "a"));
    part.port.receive(marked(9, "a", "another"));
    part.clock.advance(30);
    expect([marks(), part.spool.head]).toEqual([{ log: "1", another: "9" }, 3]);
    part.port.receive(marked(4, "a"));
    part.clock.advance(30);
    expect(marks()).toMatchObject({ log: "1" });
    part.answer();
    part.clock.advance(30);
    expect([marks(), part.spool.head]).toEqual([{ log: "4", another: "9" }, 5]);
  });

  test("goes on as far as the next that waits, with what is kept beside it, and is written once", () => {
    const marks = new Marks();
    const log = (value: string, beside?: Mark["beside"]): Mark => ({
      key: "log",
      value,
      ...(beside && { beside }),
    });
    const [first, second, third, fourth, fifth] = [
      log("1"),
      log("2", { key: "epoch", value: "a" }),
      log("3"),
      log("4", { key: "epoch", value: "b" }),
      log("5"),
    ] as const;
    const written = () => {
      const now = Object.fromEntries(marks.toWrite());
      marks.committed();
      return now;
    };
    for (const mark of [first, second, third, fourth]) marks.receive(mark);
    marks.group(second);
    expect(written()).toEqual({});
    marks.group(first);
    expect(written()).toEqual({ log: "2", epoch: "a" });
    marks.receive(fifth);
    for (const mark of [fourth, fifth]) marks.group(mark);
    expect(written()).toEqual({});
    marks.group(third);
    expect(written()).toEqual({ log: "5" });
    expect(written()).toEqual({});
  });

  test("is not written while the disk takes no entries, and is written for a duplicate too", () => {
    const part = intake(kit, registry());
    part.cached.add("a");
    part.state.full = true;
    part.port.receive(marked(1, "a"));
    part.clock.advance(30);
    expect(part.spool.sidecar.marks().size).toBe(0);
    part.state.full = false;
    part.clock.advance(1_000);
    part.port.receive({ ...marked(1, "a"), dup: true, mark: { key: "log", value: "2" } });
    part.clock.advance(30);
    expect([part.spool.sidecar.marks().get("log"), part.books.totals().duplicate]).toEqual(["2", 1]);
  });
});

test("a log that is read on from its mark after every kill -9 is stored once, whole", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "sluice-marks-"));
  const begun: number[] = [];
  for (let isDone = false, runs = 0; !isDone; runs++) {
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "../kit/log-reader.ts"), dataDir], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let said = "";
    for await (const chunk of child.stdout) {
      said += Buffer.from(chunk).toString();
      if (said.includes("started") && runs < 5) break;
      if (said.includes("done")) break;
    }
    begun.push(Number(/from (\d+)/.exec(said)?.[1]));
    isDone = said.includes("done");
    if (isDone) child.kill("SIGTERM");
    else {
      await Bun.sleep(20 + runs * 15);
      child.kill("SIGKILL");
    }
    await child.exited;
  }
  const db = new Database(join(dataDir, "local.db"), { readonly: true });
  const stored = db
    .query<{ n: number; accepted: number }, []>(
      "SELECT payload ->> '$.metrics.n' AS n, accepted FROM raw_events",
    )
    .all();
  db.close();
  rmSync(dataDir, { recursive: true });
  expect(begun.length).toBeGreaterThan(3);
  expect(begun).toEqual(begun.toSorted((a, b) => a - b));
  expect(stored.every(({ accepted }) => accepted === 1)).toBe(true);
  expect(stored.map(({ n }) => n).sort((a, b) => a - b)).toEqual(
    Array.from({ length: messagesMax }, (_, n) => n),
  );
}, 60_000);
