/** Record batches as an independent reader takes them, and the partition that Java's client would choose. */
import { describe, expect, test } from "bun:test";
import { crc32c } from "../../src/kafka/crc32c.ts";
import { Utf8 } from "../../src/kafka/utf8.ts";
import { murmur2, partitionOf } from "../../src/kafka/murmur2.ts";
import { createEncoder, framesMax } from "../../src/sink/kafka/record.ts";
import { metricsOf } from "../../src/sink/kafka/metrics.ts";
import { sharedKafka } from "../kit/kafka/broker.ts";
import { kafkaTestable, newTopic, produceByKcat, readTopic } from "../kit/kafka/client.ts";
import { numbersOf, openKafka } from "../kit/kafka/sink.ts";
import { delivery, event, noTotals, reject } from "../contract/entries.ts";

function found(payload: string, known: readonly string[] = []) {
  const values = new Utf8();
  values.string("before");
  const metrics = metricsOf(payload, known, values);
  return { ...metrics, values: values.toString().slice("before".length) };
}

const bytes = (text: string) => new TextEncoder().encode(text);

function bitByBit(of: Uint8Array): number {
  let crc = -1;
  for (const byte of of) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

describe("what guards and places a record", () => {
  test("the CRC is Castagnoli's (RFC 3720, B.4)", () => {
    expect(crc32c(bytes("123456789"), 0, 9)).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32), 0, 32)).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff), 0, 32)).toBe(0x62a8ab43);
  });

  test("the CRC of many bytes, which is taken at two places at a time, is that of one bit after the other", () => {
    const many = Uint8Array.from({ length: 20_000 }, (_, i) => (i * i) >> 3);
    for (const to of [4_095, 4_096, 4_097, 8_191, 12_300, 20_000])
      for (const from of [0, 1, 21]) expect(crc32c(many, from, to)).toBe(bitByBit(many.subarray(from, to)));
  });

  // org.apache.kafka.common.utils.UtilsTest.testMurmur2
  test.each([
    ["21", -973_932_308],
    ["foobar", -790_332_482],
    ["a-little-bit-long-string", -985_981_536],
    ["a-little-bit-longer-string", -1_486_304_829],
    ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971],
    ["abc", 479_470_107],
  ])("murmur2 of %s is Java's", (text, hash) => expect(murmur2(bytes(text)) | 0).toBe(hash));
});

describe("the metrics of a payload", () => {
  test.each([
    ['{"seq":7,"metrics":{"a":1.0,"b":-2.5e3}}', '"a","b"', "1.0,-2.5e3", "7"],
    [
      '{ "metrics" : { "a" : 1152921504606846976 , "t" : "x,}\\"" } , "seq" : 12 }',
      '"a","t"',
      '1152921504606846976,"x,}\\""',
      "12",
    ],
    ['{"metrics":{"a":null,"b":true,"c":[1,{"d":"]"}],"e":false}}', '"b","e"', "true,false", ""],
    ['{"other":{"metrics":{"q":1},"seq":3},"metrics":{"a":1}}', '"a"', "1", ""],
    ['{"m\\u0065trics":{"a":1},"seq":null}', '"a"', "1", ""],
    ['{"metrics":{},"seq":1}', "", "", "1"],
    ['{"metrics":null,"seq":2}', "", "", "2"],
    ["{}", "", "", ""],
  ])("of %s", (payload, labels, values, seq) => {
    const { names, ...others } = found(payload);
    expect({ labels: names.join(","), ...others }).toEqual({ labels, values, seq });
    // Whatever the last payload of the device had.
    for (const known of [
      names,
      names.slice(1),
      [...names, '"z"'],
      ['"z"', ...names],
      ['"a"'],
      ['"a"', '"t"', '"e"'],
    ])
      expect(found(payload, known)).toEqual({ names, ...others });
    expect(found(payload, names).names).toBe(names);
    const parsed = JSON.parse(payload) as { metrics?: Record<string, unknown> | null };
    const plain = Object.entries(parsed.metrics ?? {}).filter(
      ([, value]) => value !== null && typeof value !== "object",
    );
    expect(JSON.parse(`[${labels}]`)).toEqual(plain.map(([name]) => name));
    expect(JSON.parse(`[${values}]`)).toEqual(plain.map(([, value]) => value));
  });
});

describe("values of one encoder after another", () => {
  const times = [1_789_000_000_000, 1_789_000_000_001, 1_789_000_001_000, 253_402_300_800_000, -1, 0];
  const payloads = [
    '{"seq":7,"metrics":{"a":1.0,"b":-2.5e3}}',
    '{"metrics":{"a":2,"b":"ü, 🌊"},"seq":9}',
    `{"metrics":{"a":"${"x".repeat(100)}","${"long".repeat(300)}":3}}`,
    `{"metrics":{"a":"${"ü".repeat(9_000)}"},"seq":12}`,
    "{}",
  ];
  const entries = Array.from({ length: 600 }, (_, i) => {
    const seq = i < 300 ? i + 1 : i * 1_000_003;
    const deviceId = `d${i % 3}${i % 2 === 0 ? "" : "ü"}`;
    const payload = payloads[(i * 7) % payloads.length] ?? "";
    if (i % 11 === 0) return reject(seq, { deviceId, payload });
    const eventNs = (i * 1_234_567) % 1_000_000;
    return event(seq, { deviceId, payload, eventMs: times[(i * 5) % times.length] ?? 0, eventNs });
  });
  const encoder = () => {
    const made = createEncoder("gw", "device");
    made.begin("epoch");
    return made;
  };

  test("begin alike with each message of a device, in a fleet of as many as may be cached", () => {
    const made = createEncoder("gw", "device", framesMax);
    // A tenant each, so that no two have the same ending either.
    const keyOf = (i: number) => made.keyOf(event(1, { deviceId: `d${i}`, tenantId: `t${i}` })).bytes;
    const first = keyOf(0);
    for (let i = 1; i < 2 * framesMax; i++) keyOf(i);
    expect(keyOf(0)).toBe(first);
  });

  test("are what a new one makes, and say when and which", () => {
    const one = encoder();
    for (const entry of entries) {
      const value = one.valueOf(entry).toString();
      expect(value).toBe(encoder().valueOf(entry).toString());
      const { request_id: id, timestamp } = JSON.parse(value) as { request_id: string; timestamp: string };
      expect(Number.parseInt(id.slice(-12), 16)).toBe(entry.seq);
      const [ms, ns] = entry.kind === "event" ? [entry.eventMs, entry.eventNs] : [entry.receivedMs, 0];
      const micros = String(Math.floor(ns / 1000)).padStart(3, "0");
      expect(timestamp).toBe(new Date(ms).toISOString().slice(0, -1) + micros);
    }
  });

  test("begin anew with another epoch", () => {
    const one = encoder();
    const ids = ["a", "b", "a"].map((epoch) => {
      one.begin(epoch);
      return one.valueOf(event(1)).toString().slice(0, 60);
    });
    expect(ids[0]).toBe(ids[2] ?? "");
    expect(ids[0]).not.toBe(ids[1] ?? "");
  });
});

describe.skipIf(kafkaTestable() !== "")(`records in Kafka (${kafkaTestable() || "real"})`, () => {
  test.each(["none", "gzip", "zstd"])(
    "compressed by %s are read by another client, whole and in order",
    async (codec) => {
      const { bootstrap } = await sharedKafka();
      const kafka = await openKafka(bootstrap);
      const entries = Array.from({ length: 300 }, (_, i) =>
        event(i + 1, {
          deviceId: `dev-${i % 7}`,
          siteId: `hall ü${i % 3}`,
          payload: `{"seq":${i},"metrics":{"n":${i + 1}.50,"ü\\n":"🌊"}}`,
        }),
      );
      const outcome = await kafka.open({ env: { KAFKA_COMPRESSION: codec } }).deliver(delivery(entries));
      expect(outcome).toEqual({ delivered: 300, ignored: 0, refused: 0 });
      const read = await kafka.events();
      expect(numbersOf(read)).toEqual(entries.map((_, i) => i + 1.5));
      for (const { key, timestampMs, partition, value, json } of read) {
        expect(partition).toBe(partitionOf(bytes(key), 3));
        expect(value).toContain(`.50,"🌊"]`);
        expect(timestampMs).toBe(1_789_000_000_000 + Math.floor(Number(json.values[0])));
      }
      const ofOne = read.filter(({ key }) => key === "dev-3").map(({ json }) => json.values[0] as number);
      expect(ofOne).toEqual([...ofOne].sort((a, b) => a - b));
      await kafka.close();
    },
  );

  test("of a device lie where Java's client and librdkafka's murmur2 would put them", async () => {
    const { bootstrap } = await sharedKafka();
    const topic = await newTopic(bootstrap, { partitions: 12 });
    const keys = Array.from({ length: 60 }, (_, i) => `dev-${i}-${"x".repeat(i % 5)}`);
    await produceByKcat(
      bootstrap,
      topic,
      keys.map((key) => ({ key, value: "v" })),
      ["-X", "partitioner=murmur2_random"],
    );
    for (const { key, partition } of await readTopic(bootstrap, topic))
      expect(partition).toBe(partitionOf(bytes(key), 12));
  });

  test("say what the consumers of existing pipelines read", async () => {
    const { bootstrap } = await sharedKafka();
    const kafka = await openKafka(bootstrap);
    const token = reject(3, { detail: "not that of the registry", payload: '{"metrics":{"t":1}}' });
    const entries = [
      event(1),
      event(2, { payload: "{}", msgType: "heartbeat" }),
      token,
      reject(4, { payload: "", deviceId: null, tenantId: null }),
    ];
    await kafka.open({ gatewayId: "gw-shape" }).deliver(delivery(entries));
    const [reading, beat] = await kafka.events();
    expect(JSON.parse(reading?.value ?? "")).toEqual({
      request_id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-000000000001$/),
      timestamp: "2026-09-10T00:26:40.001123",
      device_id: "d1",
      values: [1],
      label: ["n"],
      labels: ["n"],
      index: "telemetry",
      metadata: {
        datatype_id: "telemetry",
        datatype_name: "telemetry",
        datatype_unit: "",
        datatype_category: "telemetry",
        persist: true,
        tenant_id: "acme",
        site_id: "lab-1",
        msg_type: "telemetry",
        seq: 1,
      },
    });
    expect(beat?.json).toMatchObject({ values: [], label: [], index: "heartbeat" });
    const rejects = await kafka.rejects();
    expect(rejects.map(({ key, value }) => [key, JSON.parse(value) as unknown])).toContainEqual([
      "d1",
      {
        request_id: expect.any(String),
        timestamp: "2026-09-10T00:26:40.003000",
        service: "sluice",
        error: "TOKEN_INVALID: not that of the registry",
        original_message: {
          device_id: "d1",
          tenant_id: "acme",
          site_id: "lab-1",
          msg_type: "telemetry",
          topic: "tenant/acme/device/d1/telemetry",
          payload: { metrics: { t: 1 } },
        },
      },
    ]);
    expect(rejects.find(({ key }) => key === "")?.value).toContain('"device_id":null');
    await kafka.close();
  });

  test("carry the tenant in key and device_id where that is asked for", async () => {
    const { bootstrap } = await sharedKafka();
    const kafka = await openKafka(bootstrap);
    await kafka
      .open({ env: { KAFKA_DEVICE_ID: "tenant/device" } })
      .deliver(delivery([event(1)], { before: noTotals }));
    const [read] = await kafka.events();
    expect(read?.key).toBe("acme/d1");
    expect(read?.json).toMatchObject({ device_id: "acme/d1" });
    await kafka.close();
  });
});
