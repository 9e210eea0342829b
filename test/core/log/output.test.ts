/** The log against readers that stop, with real pipes: the process goes on, lines are lost and counted, and the log says so. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { logOutput, waitingBytesMax } from "../../../src/core/log/output.ts";
import { executable } from "../../kit/gateway.ts";
import { freePort } from "../../kit/port.ts";
import { until } from "../../kit/until.ts";

let directory: string;
/** Both ends, without waiting. */
let end: number;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-log-"));
  const fifo = join(directory, "log");
  Bun.spawnSync(["mkfifo", fifo]);
  end = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
});

afterEach(() => {
  closeSync(end);
  rmSync(directory, { recursive: true });
});

function fill(): void {
  try {
    for (;;) writeSync(end, Buffer.alloc(1024, "x"));
  } catch {
    // Full.
  }
}

function readAll(): string {
  const chunks: Buffer[] = [];
  const chunk = Buffer.alloc(65_536);
  try {
    for (let n = 1; n > 0;) chunks.push(Buffer.from(chunk.subarray(0, (n = readSync(end, chunk)))));
  } catch {
    // Empty.
  }
  return Buffer.concat(chunks).toString();
}

/** A separate descriptor that blocks, as a service's standard output does. */
const blocking = () => openSync(join(directory, "log"), constants.O_WRONLY);

describe("a log whose reader stops", () => {
  test("loses what is beyond its bound, says how many lines that was, and writes the rest whole and in order", async () => {
    const fd = blocking();
    const output = logOutput(fd, (n) => `lost ${n}\n`);
    fill();
    const lines = Array.from({ length: 20_000 }, (_, i) => `${i} ${"y".repeat(100)}\n`);
    for (const line of lines) output.write(line);
    expect(output.lost()).toBeGreaterThan(lines.length - waitingBytesMax / 100);
    let read = "";
    await until(() => /lost \d+\n$/.test((read += readAll())));
    const kept = lines.length - output.lost();
    expect(read.replace(/^x*/, "")).toBe(`${lines.slice(0, kept).join("")}lost ${output.lost()}\n`);
    output.write("after\n");
    await output.drained(5_000);
    expect(readAll()).toBe("after\n");
    closeSync(fd);
  });

  test("does not keep the process from ending", async () => {
    const fd = blocking();
    const output = logOutput(fd, () => "");
    fill();
    output.write("never\n");
    await output.drained(10);
    readAll();
    await output.drained(5_000);
    closeSync(fd);
  });

  test.skipIf(!existsSync(executable))("stops neither health nor the stop of the gateway", async () => {
    const port = await freePort();
    fill();
    const child = Bun.spawn([executable, "run"], {
      cwd: directory,
      env: {
        DATA_DIR: join(directory, "data"),
        HTTP_LISTEN: `127.0.0.1:${port}`,
        BROKER_LISTEN: "127.0.0.1:0",
        LOG_LEVEL: "debug",
        LOG_STATS_EVERY_SECONDS: "1",
      },
      stdio: ["ignore", blocking(), "ignore"],
    });
    try {
      const health = () =>
        fetch(`http://127.0.0.1:${port}/healthz`).then(
          (r) => r.ok,
          () => false,
        );
      await until(health);
      // The line of the first second is written by then, or is not.
      await Bun.sleep(1_500);
      expect(await health()).toBe(true);
      child.kill("SIGTERM");
      expect(await child.exited).toBe(0);
    } finally {
      child.kill("SIGKILL");
    }
  });
});
