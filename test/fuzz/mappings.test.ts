/**
 * Payloads and topics through thirty mappings at once: what each source sends, spoilt in every conceivable way.
 * Nothing throws, the books balance after each message, and the result is what every reader of an entry relies on.
 * FUZZ_RUNS messages (1,000,000 for the full run) from FUZZ_SEED; a failure names the seed and the message, which
 * reproduce it.
 */
import { expect, test } from "bun:test";
import { ready } from "../../src/cli/mappings/ready.ts";
import type { Entry } from "../../src/core/entry.ts";
import type { Message } from "../../src/core/message.ts";
import { explain } from "../../src/core/log/log.ts";
import { jsonOf } from "../../src/judge/mapping/envelope.ts";
import { readMappingFile } from "../../src/judge/mapping/file.ts";
import { router } from "../../src/judge/mapping/routes.ts";
import { type Random, seededRandom } from "../../src/simulator/random.ts";
import { aDevice, aMessage, sha256 } from "../kit/builders.ts";
import { readyExamples } from "../kit/ready-examples.ts";
import { plainStyle, write } from "./json.ts";
import { openSite, startMs } from "./site.ts";
import { bytewise, spoilTopic } from "./spoil.ts";
import { throughCopy, throughSpool } from "./stores.ts";
import { anything, word } from "./values.ts";
import { devices } from "./world.ts";

const runs = Number(process.env["FUZZ_RUNS"] ?? 10_000);
const seed = Number(process.env["FUZZ_SEED"] ?? 1);
const token = "tok-of-a-device-that-has-one";

/** As many of the ready mappings as may stand in one file, and mappings for the rest of the language. */
const extra = `[[mapping]]
topic   = "x/{device}-{unit}/{metric...}"
token   = "/auth/key"
time    = "/at"
seq     = "/n"
text    = "number"
raw     = false

[[mapping]]
topic   = "y/{tenant}/{n}"
device  = "dev-{n}"
type    = "/kind"
metrics = { a = "/v/a", b = "/v/b" }
drop    = ["/v/a/x"]
proof   = "broker"
`;
const file = ready.reduce(
  (text, { toml }) =>
    readMappingFile(`${text}\n${toml}\n`).mistakes.length === 0 ? `${text}\n${toml}\n` : text,
  `tenant = "acme"\n${extra}`,
);
const { mappings, mistakes } = readMappingFile(file);
const known = [
  ...new Set(readyExamples.flatMap(({ says }) => says.map(({ device }) => device))),
  "dev-1",
  "a",
  "b",
];
const registry = known.map((deviceId, i) =>
  aDevice({
    deviceId,
    siteId: "hall-7",
    tokenHash: sha256(token),
    status: i % 9 === 8 ? "REVOKED" : "ACTIVE",
  }),
);

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

test(`${runs} messages of seed ${seed} through ${mappings.length} mappings`, () => {
  expect(mistakes).toEqual([]);
  expect(mappings.length).toBeGreaterThanOrEqual(30);
  const chance = seededRandom(seed);
  const seen = new Map<string, number>();
  let broken: unknown;
  const site = openSite(
    seededRandom(seed + 1),
    (entries) => {
      try {
        // A group may hold only duplicates.
        if (entries.length > 0) throughSpool(entries);
        throughCopy(entries);
        for (const entry of entries) {
          const why = brokenPromise(entry);
          if (why !== null) throw new Error(`${why}: ${JSON.stringify(entry)}`);
          const what = entry.kind === "reject" ? entry.reason : entry.kind;
          seen.set(what, (seen.get(what) ?? 0) + 1);
        }
      } catch (error) {
        broken ??= error;
      }
    },
    { devices: registry, routeOf: router(mappings) },
  );
  const before: Message[] = [];
  for (let n = 0; n < runs; n++) {
    const again = chance.next() < 0.02 ? before[chance.whole(0, before.length - 1)] : undefined;
    const message = again ? { ...again, dup: true } : next(chance, startMs + n);
    before[n % 300] = message;
    site.receive(message);
    if (chance.next() < 0.01) site.registryAnswers();
    if (chance.next() < 0.02) site.pass(startMs + n - site.nowMs());
    if (!site.books.balancedWith(site.ingest.inMemory)) broken ??= new Error("the books do not balance");
    if (broken !== undefined)
      throw new Error(`seed ${seed}, at message ${n}: ${explain(broken)}`, { cause: broken });
  }
  site.end();
  const { books } = site;
  expect([broken, site.settled(), books.balancedWith(0), books.awaiting]).toEqual([undefined, runs, true, 0]);
  expect(books.totals().received - books.furtherEvents).toBe(runs);
  expect(books.spooled).toBe(site.written());
  // Enough of everything happened for a meaningful run.
  const wanted = [
    "event",
    "deferred",
    "MAPPING_MISFIT",
    "MALFORMED_JSON",
    "BAD_TOPIC_FORMAT",
    "UNREGISTERED_DEVICE",
    "TOKEN_MISSING",
  ];
  expect(wanted.filter((what) => !seen.has(what))).toEqual([]);
  expect(books.furtherEvents).toBeGreaterThan(0);
  expect(seen.get("event") ?? 0).toBeGreaterThan(runs / 10);
}, 3_600_000);

function next(chance: Random, receivedMs: number): Message {
  const { topic, payload } = chance.pick(readyExamples as [(typeof readyExamples)[number]]);
  const isSpoilt = chance.next() < 0.6;
  const text = textOf(payload, chance, isSpoilt);
  const bytes = new TextEncoder().encode(text);
  const speaker = chance.pick([undefined, null, { tenantId: "acme", deviceId: "press-3" }]);
  return aMessage(chance.next() < 0.03 ? chance.pick(bytewise)(bytes, chance) : bytes, {
    topic: topicOf(topic, chance),
    receivedMs,
    speaker,
    retained: chance.next() < 0.02,
  });
}

function topicOf(topic: string, chance: Random): string {
  const roll = chance.next();
  if (roll < 0.85) return topic;
  if (roll < 0.88) return `x/${chance.pick(["a", "dev-1", "b"])}-${word(chance)}/p/q`;
  if (roll < 0.91) return `y/${chance.pick(["acme", "other", ""])}/${chance.pick(["1", "2", "/"])}`;
  if (roll < 0.94) return spoilTopic(topic, chance.pick(devices as [(typeof devices)[number]]), chance);
  const levels = topic.split("/");
  levels[chance.whole(0, levels.length - 1)] = chance.pick([
    "",
    word(chance),
    "tok-MDEyMzQ1Njc4OWFiY2RlZmdoaWpr",
    "a/b",
    "é\u0001",
  ]);
  return levels.join("/");
}

function textOf(payload: unknown, chance: Random, isSpoilt: boolean): string {
  const text = typeof payload === "string" ? payload : jsonOf(payload);
  if (!isSpoilt) return text;
  const roll = chance.next();
  if (roll < 0.1) return write(anything(chance), plainStyle, chance);
  if (roll < 0.15) return text.slice(0, chance.whole(0, text.length));
  if (roll < 0.2)
    return text.replace(/\d+/, chance.pick(["1e400", "123456789012345678901", "-0", "00", "1.10"]));
  try {
    const value = JSON.parse(text) as Json;
    for (let times = chance.whole(1, 3); times > 0; times--) spoil(value, chance);
    const spoilt = JSON.stringify(value);
    return chance.next() < 0.1
      ? spoilt.replace("{", `{"provision_token":"${token}","auth":{"key":"${token}"},`)
      : spoilt;
  } catch {
    return text;
  }
}

/** Something, somewhere in it. */
function spoil(value: Json, chance: Random): void {
  if (typeof value !== "object" || value === null) return;
  const keys = Object.keys(value);
  const key = keys[chance.whole(0, keys.length - 1)] ?? "0";
  const holder = value as Record<string, Json>;
  const inner = holder[key];
  if (typeof inner === "object" && chance.next() < 0.7) return spoil(inner, chance);
  const other = () => JSON.parse(safe(write(anything(chance), plainStyle, chance))) as Json;
  const roll = chance.next();
  if (roll < 0.2) delete holder[key];
  else if (roll < 0.5) holder[key] = other();
  else if (roll < 0.6) holder[key] = null;
  else if (roll < 0.7) holder[word(chance)] = other();
  else if (roll < 0.75) holder["__proto__x"] = nested(chance.whole(5, 12));
  else if (roll < 0.8) holder[key] = Array.from({ length: chance.whole(40, 120) }, (_, i) => i);
  else if (roll < 0.85) holder[key] = JSON.stringify(inner ?? null);
  else if (roll < 0.9) holder[key] = [inner ?? null, inner ?? null];
  else holder[key] = { [chance.pick(["a", "constructor", "toString", ""])]: inner ?? null };
}

const nested = (depth: number): Json => (depth === 0 ? 1 : { d: nested(depth - 1) });

function safe(text: string): string {
  try {
    JSON.parse(text);
    return text;
  } catch {
    return "0";
  }
}

/** Returns null if the entry is what every reader may expect. */
function brokenPromise(entry: Entry): string | null {
  if (entry.kind === "reject" && entry.reason === "JUDGE_FAULT") return "a fault";
  if (JSON.stringify(entry).includes(token)) return "a token";
  if (/[\r\n]/.test(entry.payload)) return "more than one line";
  if (entry.kind === "reject")
    return entry.payload === "" || isObject(JSON.parse(entry.payload)) ? null : "no object";
  const { metrics, ts, seq, raw, ...others } = JSON.parse(entry.payload) as Record<string, unknown>;
  if (entry.topic.startsWith("tenant/")) return null;
  if (entry.kind === "event" && Object.keys(others).length > 0) return "not the canonical envelope";
  if (!isObject(metrics) || Object.keys(metrics).length === 0 || Object.keys(metrics).length > 50)
    return "metrics";
  if (Object.values(metrics).some((value) => typeof value === "object" && value !== null))
    return "a metric that is not flat";
  if (ts !== undefined && (typeof ts !== "string" || Number.isNaN(Date.parse(ts)))) return "ts";
  if (seq !== undefined && !Number.isSafeInteger(seq)) return "seq";
  if (entry.kind === "event" && (raw === undefined) !== entry.topic.startsWith("x/")) return "raw";
  if (entry.kind === "event" && entry.siteId !== "hall-7") return "another site";
  return null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
