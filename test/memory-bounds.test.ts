/**
 * The sum of all bounds of memory: the page agrees with the constants, the heap confirms the weight of one item, and
 * each part stays within its bound when twice as much is put in.
 */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { heapStats } from "bun:jsc";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { activeDevicesMax, DeviceActivity } from "../src/admin/device-activity.ts";
import { devicesMax, RecentRejects } from "../src/admin/recent-rejects.ts";
import { underWayMax } from "../src/admin/review/quarantine-queue.ts";
import { loadConfig } from "../src/config/index.ts";
import { itemBytes, memoryBounds, memorySum } from "./memory-bounds.ts";
import { silentLog } from "../src/core/log/log.ts";
import { memoryShares, programBytes } from "../src/core/memory/budget.ts";
import { Window } from "../src/drain/window.ts";
import { readAheadEntriesMax } from "../src/drain/read-ahead.ts";
import { createJudge } from "../src/judge/judge.ts";
import { createShelf, formsMax } from "../src/judge/form-shelf.ts";
import { bucketsMax, createLimiter } from "../src/judge/limit.ts";
import { Address, createAddresses, topicsMax } from "../src/core/address.ts";
import { redeliveryKey } from "../src/core/redelivery-key.ts";
import { createSpeakers, speakerText } from "../src/core/text/speaker-text.ts";
import { addressIn } from "../src/judge/topic.ts";
import { parkedMax } from "../src/intake/ingest.ts";
import { DeviceAuthCache } from "../src/registry/auth-cache.ts";
import { grammarOf } from "../src/sink/influx/grammar.ts";
import { createCollisions } from "../src/sink/influx/collisions.ts";
import { encodeLine } from "../src/sink/influx/line.ts";
import { planFor, plansMax } from "../src/sink/influx/plan.ts";
import { createSeries, seriesMax } from "../src/sink/influx/series.ts";
import { createEncoder, endingsBytesMax, framesMax } from "../src/sink/kafka/record.ts";
import { columnsMax, createTypeMap } from "../src/sink/influx/types.ts";
import { memoryBytes, Tail } from "../src/spool/tail.ts";
import { RedeliveryWindow } from "../src/spool/redelivery.ts";
import { RetainedTopics, retainedTopicsMax } from "../src/spool/retained.ts";
import { event } from "./contract/entries.ts";
import { aBody, aDevice, aMessage, aPolicy } from "./kit/builders.ts";
import { simulatedClock } from "./kit/clock.ts";
import { anEntry } from "./kit/spool.ts";
import { memoryPage } from "./memory-page.ts";

setDefaultTimeout(60_000);

const dir = mkdtempSync(join(tmpdir(), "sluice-memory-"));
afterAll(() => rmSync(dir, { recursive: true }));

function configOf(env: Record<string, string>) {
  const loaded = loadConfig({ DATA_DIR: dir, ...env });
  if ("mistakes" in loaded) throw new Error(loaded.mistakes.join("\n"));
  return loaded.config;
}

const heapBytes = () => {
  Bun.gc(true);
  return heapStats().heapSize;
};

/** The bytes that are retained by what `make` returns. */
function weighed(make: () => unknown): number {
  const before = heapBytes();
  const kept = [make()];
  const bytes = heapBytes() - before;
  kept.pop();
  return bytes;
}

const tailBytesMax = memoryShares().tailBytes;
const clock = simulatedClock();
const key = (i: number) => `acme-industrial-${i % 50}/compressor-hall-7-${i}`;

/** As it stands in a longer text. */
const cut = (name: string, rest: string) =>
  Buffer.from(name + rest.repeat(200))
    .toString()
    .slice(0, name.length);

/** A part: its item, the number of items at the bound; twice as many are put in. */
const parts: readonly (readonly [item: keyof typeof itemBytes, countMax: number, fill: () => unknown])[] = [
  [
    "cachedDevice",
    10_000,
    () => {
      const cache = new DeviceAuthCache({ ttlSeconds: 60, sizeMax: 10_000, staleSeconds: 60 }, clock);
      for (let i = 0; i < 20_000; i++)
        cache.put(
          aDevice({
            tenantId: `acme-industrial-${i % 50}`,
            deviceId: `compressor-hall-7-${i}`,
            tokenHash: Bun.hash(String(i)).toString(16).padStart(64, "0"),
            previousTokenHash: Bun.hash(`p${i}`).toString(16).padStart(64, "0"),
          }),
        );
      // From now on it knows whose a token is.
      cache.ownerOf("");
      return cache;
    },
  ],
  [
    "packet",
    100_000,
    () => {
      const window = new RedeliveryWindow(100_000);
      for (let i = 0; i < 200_000; i++) window.add(i * 7_919 + 2 ** 40, i % 5_000);
      // From now on it can answer both of its questions.
      window.has(0);
      window.holdsContent(0);
      return window;
    },
  ],
  [
    "retainedTopic",
    retainedTopicsMax,
    () => {
      const topics = new RetainedTopics([]);
      for (let i = 0; i < 2 * retainedTopicsMax; i++)
        topics.note(aMessage(new Uint8Array([i & 255]), { topic: `t/${i}`, retained: true }));
      return topics;
    },
  ],
  [
    "bucket",
    2 * bucketsMax,
    () => {
      const limiter = createLimiter();
      const rate = { messageMs: 200, messagesMs: 1_000_000, byteMs: 0.01, bytesMs: 1_000_000 };
      for (let i = 0; i < 4 * bucketsMax; i++)
        limiter.take({ key: key(i), bucket: undefined }, i / 1_000, 100, rate);
      return limiter;
    },
  ],
  [
    "topic",
    topicsMax,
    () => {
      const topic = (i: number) => `tenant/${key(i).replace("/", "/device/")}/telemetry`;
      // Not the process's, which would be full for every test that comes after.
      const addresses = createAddresses();
      const speakers = createSpeakers(addresses);
      for (let i = 0; i < 2 * topicsMax; i++) {
        const message = {
          topic: Buffer.from(topic(i)).toString(),
          sender: "",
          payload: new Uint8Array(1),
          packetId: 1,
        };
        const read = addressIn(message);
        if (!(read instanceof Address)) throw new Error(message.topic);
        const address = addresses.keep(read);
        redeliveryKey(message);
        const { topic: own, tenantId, deviceId, msgType } = address;
        // As it is read from the disk: of one that comes in, the registry's row has the site.
        const siteId = cut("lab-1", "record");
        speakers.speakerText(event(i, { topic: own, tenantId, deviceId, msgType, siteId }));
      }
      return addresses;
    },
  ],
  [
    "form",
    formsMax,
    () => {
      const shelf = createShelf();
      const most = Array.from({ length: 126 }, (_, i) => `"k${i}":${i}`).join(",");
      for (let i = 0; i < 2 * formsMax; i++) shelf.learn(`{"${"x".repeat(600)}${i}":1,${most}}`);
      return shelf;
    },
  ],
  [
    "heardDevice",
    2 * activeDevicesMax,
    () => {
      const activity = new DeviceActivity();
      // Each id is a part of its topic, as those of messages are.
      for (let i = 0; i < 4 * activeDevicesMax; i++) {
        const [tenantId = "", deviceId = ""] = `${key(i)}/telemetry`.split("/");
        activity.note([event(i, { tenantId, deviceId, receivedMs: 1_700_000_000_000 + i })]);
      }
      return activity;
    },
  ],
  [
    "rejectRow",
    devicesMax,
    () => {
      const rejects = new RecentRejects(() => {});
      const detail = "x".repeat(1_000);
      for (let i = 0; i < 2 * devicesMax; i++)
        rejects.note([
          anEntry({
            kind: "reject",
            reason: "MAPPING_MISFIT",
            deviceId: key(i),
            topic: `t/${key(i)}`,
            detail,
          }),
        ]);
      return rejects;
    },
  ],
  [
    "requeued",
    underWayMax,
    () => new Map(Array.from({ length: underWayMax }, (_, i) => [2 ** 33 + i, 2 ** 34 + i])),
  ],
  [
    "column",
    columnsMax,
    () => {
      const types = createTypeMap({
        path: join(dir, "types.json"),
        integerFields: [],
        reserved: [],
        clock,
        log: silentLog,
      });
      for (let i = 0; i < 2 * columnsMax; i++)
        types.table(`d${i % 20}`, "telemetry").column(cut(`metric_number_${i}`, "payload"));
      return types;
    },
  ],
  [
    "plan",
    plansMax,
    () => {
      const types = createTypeMap({
        path: join(dir, "plans.json"),
        integerFields: [],
        reserved: [],
        clock,
        log: silentLog,
      });
      const most = Array.from({ length: 126 }, (_, i) => `"metric_${i}":${i}`).join(",");
      const payload = `{"metrics":{${most}}}`;
      for (let form = 0; form < 2 * plansMax; form++)
        planFor(event(1, { form, payload }), types.table(`d${form % 20}`, "telemetry"));
      return types;
    },
  ],
  [
    "series",
    2 * seriesMax,
    () => {
      const series = createSeries();
      const collisions = createCollisions("shift");
      const types = createTypeMap({
        path: join(dir, "none.json"),
        integerFields: [],
        reserved: [],
        clock,
        log: silentLog,
      });
      const table = types.table("d", "telemetry");
      const grammar = grammarOf("v2", true, true);
      const pad = "x".repeat(1_000);
      for (let i = 0; i < 4 * 4 * seriesMax; i++) {
        const payload = `{"metrics":{"text":"${pad}${i}"},"note":"${pad}"}`;
        const entry = event(i + 1, { deviceId: key(i >> 2), eventMs: 1_700_000_000_000 + i, payload });
        const line = encodeLine(entry, table, grammar, series);
        if (line !== null) collisions.place(line, new Map());
      }
      return [series, collisions];
    },
  ],
  [
    "frame",
    framesMax,
    () => {
      const encoder = createEncoder("gw", "tenant/device");
      const payload = '{"seq":1,"metrics":{"temperature":20.1,"pressure":1013}}';
      for (let i = 0; i < 2 * framesMax; i++) {
        const [tenantId = "", deviceId = ""] = `${key(i)}/telemetry`.split("/");
        encoder.valueOf(event(i, { tenantId, deviceId, payload }));
      }
      return encoder;
    },
  ],
  [
    "endingByte",
    endingsBytesMax,
    () => {
      // A device each, which holds its own: about 1,200 bytes.
      const encoder = createEncoder("gw", "device", 100_000);
      for (let i = 0; i < endingsBytesMax / 500; i++) {
        const metrics = Array.from({ length: 30 }, (_, at) => `"metric-${i}-${at}":1`).join(",");
        encoder.valueOf(event(i, { deviceId: `d${i}`, payload: `{"metrics":{${metrics}}}` }));
      }
      return encoder;
    },
  ],
  [
    "place",
    readAheadEntriesMax,
    () => new Window(readAheadEntriesMax, 0, { delivered: 0, ignored: 0, refused: 0, skipped: 0 }),
  ],
  [
    "parkedMessage",
    parkedMax,
    () => {
      const auth = new DeviceAuthCache({ ttlSeconds: 60, sizeMax: 10, staleSeconds: 60 }, clock);
      const judge = createJudge({
        policy: () => aPolicy(),
        auth,
        requireToken: true,
        backlogBytesMax: 1e9,
        clock,
      });
      return Array.from({ length: parkedMax }, (_, i) => {
        const device = `compressor-hall-7-${i}`;
        const message = aMessage(aBody({ device_id: device }), {
          topic: `tenant/acme/device/${device}/telemetry`,
        });
        return [message, judge.judge(message)];
      });
    },
  ],
  [
    "message",
    50_000,
    () =>
      Array.from({ length: 50_000 }, (_, i) => [
        aMessage(new Uint8Array(1), { topic: `t/${key(i)}` }),
        event(i),
      ]),
  ],
];

describe("memory", () => {
  test.each(parts)("a %s weighs no more than is counted for it", (item, countMax, fill) => {
    const weight = () => weighed(fill) / countMax;
    let each = weight();
    // All suites share this heap, and what another one leaves behind in it may be part of one try.
    for (let again = 0; again < 2 && each > itemBytes[item]; again++) each = weight();
    expect(each).toBeLessThanOrEqual(itemBytes[item]);
  });

  test("each kind of item is weighed", () => {
    expect(parts.map(([item]) => item).sort()).toEqual(
      Object.keys(itemBytes).sort() as (keyof typeof itemBytes)[],
    );
  });

  test("the spool's newest groups stay within their bound, of three bytes per character too", () => {
    const tail = new Tail(tailBytesMax);
    let put = 0;
    const bytes = weighed(() => {
      for (let seq = 1; put < 3 * tailBytesMax; seq += 100) {
        const entries = Array.from({ length: 100 }, (_, i) =>
          event(seq + i, { payload: `{"metrics":{"n":${seq + i}},"pad":"${"温".repeat(1_000)}"}` }),
        );
        put += memoryBytes(entries);
        tail.push(entries);
      }
      return tail;
    });
    expect(bytes).toBeLessThanOrEqual(tailBytesMax);
  });

  test("of topics as long as a packet allows nothing is kept", () => {
    const bytes = weighed(() => {
      for (let i = 0; i < 1_000; i++) {
        const topic = Buffer.from(`f/${i}/${"long".repeat(16_000)}`).toString();
        redeliveryKey({ topic, sender: "", payload: new Uint8Array(1), packetId: 1 });
        speakerText(event(i, { topic }));
      }
    });
    expect(bytes).toBeLessThan(4 * 1024 * 1024);
  });

  test("the page names each bound and their sum, with the default settings and with everything on", async () => {
    const path = join(import.meta.dir, "..", "docs", "memory.md");
    expect(await Bun.file(path).text()).toBe(memoryPage());
  });

  test("a further sink and more connections are in the sum", () => {
    const sumOf = (env: Record<string, string>) => memorySum(memoryBounds(configOf(env)));
    const plain = sumOf({});
    // Its batches and places; what is read ahead it shares with the others.
    expect(sumOf({ REDIS_URL: "redis://127.0.0.1" })).toBeGreaterThan(plain + 16 * 1024 * 1024);
    expect(sumOf({ BROKER_MAX_CONNECTIONS: "100" })).toBeLessThan(plain - 100 * 1024 * 1024);
    expect(sumOf({ AUTH_CACHE_MAX_SIZE: "1000000" })).toBeGreaterThan(plain + 500 * 1024 * 1024);
  });

  test("MEMORY_MAX_BYTES sizes what grows with the load, and its shares fit into it beside the program", () => {
    const MiB = 1024 * 1024;
    const sumOf = (size: string) => memorySum(memoryBounds(configOf({ MEMORY_MAX_BYTES: size })));
    expect(sumOf("512MiB") - sumOf("256MiB")).toBe((256 * MiB * 37) / 64);
    for (const bytesMax of [128, 256, 1024].map((size) => size * MiB)) {
      const shares = Object.values(memoryShares({ bytesMax })).reduce((sum, share) => sum + share);
      expect(programBytes + shares).toBeLessThan(bytesMax);
    }
    expect(memoryShares({}, 8192 * MiB)).toEqual(memoryShares({ bytesMax: 256 * MiB }));
    expect(memoryShares({}, 160 * MiB)).toEqual(memoryShares({ bytesMax: 160 * MiB }));
    expect(memoryShares({}, 64 * MiB).tailBytes).toBeGreaterThan(0);
  });
});
