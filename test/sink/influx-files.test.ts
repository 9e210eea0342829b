/** Files of line protocol: nothing torn, nothing lost, and what is in them can be loaded. */
import { expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gunzipSync } from "node:zlib";
import { event, events } from "../contract/entries.ts";
import { simulatedClock } from "../kit/clock.ts";
import { endsAfterEach } from "../kit/ends.ts";
import { openInflux } from "../kit/influxsink.ts";
import { parseLines } from "../kit/lineparser.ts";

const ends = endsAfterEach();

function start(settings: Parameters<typeof openInflux>[0] = {}) {
  const directory = join(mkdtempSync(join(tmpdir(), "sluice-lp-")), "lines");
  const clock = simulatedClock();
  const influx = openInflux({ url: pathToFileURL(directory).href, ...settings }, clock);
  ends.push(() => rmSync(directory, { recursive: true, force: true }), influx.dispose);
  return { directory, clock, influx };
}

const names = (directory: string) => readdirSync(directory).toSorted();

/** The lines of every file, compressed or not. */
function lines(directory: string) {
  return names(directory).flatMap((name) => {
    const bytes = readFileSync(join(directory, name));
    return parseLines((name.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString());
  });
}

test("a delivered batch is in the file of its database", async () => {
  const { directory, influx } = start();
  await influx.deliver(events(1, 3));
  await influx.deliver([event(4, { tenantId: "b" })]);
  expect(names(directory)).toEqual(["telemetry_acme.lp", "telemetry_b.lp"]);
  expect(lines(directory).filter((line) => "point" in line)).toHaveLength(4);
});

test("a file is closed and compressed at its size", async () => {
  const { directory, influx } = start({ fileBytesMax: 1_024 });
  await influx.deliver(events(1, 100));
  await influx.deliver(events(101, 103));
  await influx.sink.close();
  expect(names(directory).every((name) => /^telemetry_acme-\d{8}T\d{9}Z-\d\.lp\.gz$/.test(name))).toBe(true);
  expect(names(directory)).toHaveLength(2);
  expect(lines(directory)).toHaveLength(103);
});

test("a file is closed at its age", async () => {
  const { directory, clock, influx } = start({ fileAgeSeconds: 60 });
  await influx.deliver(events(1, 3));
  clock.advance(60_000);
  expect(names(directory)).not.toContain("telemetry_acme.lp");
  await influx.deliver(events(4, 5));
  await influx.sink.close();
  expect(names(directory)).toHaveLength(2);
  expect(lines(directory)).toHaveLength(5);
});

test("no file overwrites another, even if the clock restarts at each boot", async () => {
  const directory = mkdtempSync(join(tmpdir(), "sluice-lp-"));
  ends.push(() => rmSync(directory, { recursive: true, force: true }));
  for (const boot of [0, 1, 2]) {
    const influx = openInflux({ url: pathToFileURL(directory).href }, simulatedClock());
    await influx.deliver(events(boot * 10 + 1, boot * 10 + 10));
    await influx.dispose();
  }
  expect(names(directory)).toHaveLength(3);
  expect(lines(directory)).toHaveLength(30);
});

test("after a crash the torn line is cut, the rest is closed, and what was being compressed is done again", async () => {
  const { directory, influx } = start();
  mkdirSync(directory);
  writeFileSync(
    join(directory, "telemetry_acme.lp"),
    "telemetry,device_id=d1,site_id=s v=1 1\ntelemetry,dev",
  );
  writeFileSync(join(directory, "telemetry_b-x-1.lp"), "telemetry,device_id=d1,site_id=s v=1 1\n");
  appendFileSync(join(directory, "telemetry_b-x-1.lp.gz.tmp"), "half");
  await influx.deliver(events(1, 2));
  await influx.sink.close();
  expect(names(directory).every((name) => name.endsWith(".lp.gz"))).toBe(true);
  expect(lines(directory).map((line) => "point" in line)).toEqual([true, true, true, true]);
});

test("a file that somebody else put there may be larger than memory", async () => {
  const { directory, influx } = start();
  mkdirSync(directory);
  const path = join(directory, "others.lp");
  writeFileSync(path, "telemetry,device_id=d1,site_id=s v=1 1\n");
  truncateSync(path, 4_400_000_000);
  await influx.deliver(events(1, 3));
  await influx.sink.close();
  expect(lines(directory)).toHaveLength(4);
});

test("a closed file that was not compressed keeps its name, also where another cannot be closed at first", async () => {
  const { directory, influx } = start();
  mkdirSync(join(directory, "telemetry_z.lp"), { recursive: true });
  const closed = "telemetry_b-20260101T000000000Z-1.lp";
  writeFileSync(join(directory, closed), "telemetry,device_id=d1,site_id=s v=1 1\n");
  expect(await influx.deliver(events(1, 2)).catch(() => "outage")).toBe("outage");
  rmSync(join(directory, "telemetry_z.lp"), { recursive: true });
  await influx.deliver(events(1, 2));
  await influx.sink.close();
  expect(names(directory)).toContain(`${closed}.gz`);
  expect(lines(directory)).toHaveLength(3);
});

test("a string with a line feed is refused: tools read these files line by line", async () => {
  const { influx } = start();
  const two = event(1, { payload: JSON.stringify({ metrics: { note: "a\nb" } }) });
  expect(await influx.deliver([two, event(2)])).toEqual({ delivered: 1, ignored: 0, refused: 1 });
});

test("a directory that cannot be written is an outage that alarms", async () => {
  const { directory, influx } = start();
  writeFileSync(directory, "a file where the directory should be");
  await expect(influx.deliver(events(1, 2))).rejects.toMatchObject({ alarm: true });
  await expect(influx.sink.probe()).rejects.toThrow("see that it is a directory");
  rmSync(directory);
  // Who asks makes no directory: root's would be closed to the gateway.
  expect(await influx.sink.probe()).toContain(directory);
  expect(existsSync(directory)).toBe(false);
  expect(await influx.deliver(events(1, 2))).toEqual({ delivered: 2, ignored: 0, refused: 0 });
});

const mountable = Bun.spawnSync(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).success;

test.skipIf(!mountable)(
  "a file that a full disk has no room to compress stays as it is, and nothing beside it (needs the right to mount a tmpfs)",
  async () => {
    const { directory, influx } = start();
    mkdirSync(directory);
    expect(Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory]).success).toBe(true);
    try {
      await influx.deliver(events(1, 100));
      expect(() => writeFileSync(join(directory, "others"), new Uint8Array(2_000_000))).toThrow("ENOSPC");
      await influx.sink.close();
      expect(names(directory)).toEqual(["others", expect.stringMatching(/^telemetry_acme-.*\.lp$/)]);
    } finally {
      Bun.spawnSync(["umount", "-l", directory]);
    }
  },
);

test.skipIf(!mountable || Bun.which("chattr") === null)(
  "half of a line that a full disk took, and gave back only later, is not in the file (needs the right to mount a tmpfs, and chattr)",
  async () => {
    const { directory, influx } = start();
    mkdirSync(directory);
    const run = (...words: string[]) => expect(Bun.spawnSync(words).success).toBe(true);
    run("mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", directory);
    try {
      const file = join(directory, "telemetry_acme.lp");
      await influx.deliver(events(1, 3));
      // It takes what is appended, and is not cut.
      run("chattr", "+a", file);
      await expect(influx.deliver(events(4, 1_000))).rejects.toThrow("cannot write lines to");
      expect(readFileSync(file).at(-1)).not.toBe(10);
      run("chattr", "-a", file);
      run("mount", "-o", "remount,size=1m", directory);
      await influx.deliver(events(4, 1_000));
      expect(lines(directory).map((line) => "point" in line)).toEqual(Array(1_000).fill(true));
    } finally {
      Bun.spawnSync(["umount", "-l", directory]);
    }
  },
);
