/**
 * Servers made from a seed, with their reasons to refuse and their words for it: known ones, unknown ones, the one or the other by
 * chance; with an exact count, one of a single shard, none or 0. Whatever they say, the search for refused lines ends, takes so many
 * requests per delivery, refuses no line that is stored and counts none as delivered that is not.
 */
import { expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import type { Entry } from "../../src/core/entry.ts";
import { seededRandom, type Random } from "../../src/simulator/random.ts";
import { event } from "../contract/entries.ts";
import { openInflux } from "../kit/influxsink.ts";

const requestsMax = 40;
const deliveriesMax = 200;
const seeds = 80;
const weekMs = 7 * 86_400_000;
const nowMs = Date.now();

type Reason = "type" | "series" | "odd" | "old";

/** In the order in which a server looks. */
const words: Readonly<Record<Reason, string>> = {
  type: 'field type conflict: input field "a" on measurement "telemetry" is type string, already exists as type float',
  series: "max-series-per-database limit exceeded: (9)",
  odd: "odd",
  old: "points beyond retention policy",
};
const reasons: readonly Reason[] = ["type", "series", "odd", "old"];

interface Manner {
  readonly api: "v1" | "v2" | "v3" | "victoriametrics";
  readonly storesOthers: boolean;
  readonly count: "exact" | "of a shard" | "none" | "zero";
  /** Share of the answers in words that are known. */
  readonly known: number;
}

function mannerOf(random: Random): Manner {
  const api = random.pick(["v1", "v2", "v3", "victoriametrics"]);
  return {
    api,
    storesOthers: api === "v1" || (api !== "victoriametrics" && random.next() < 0.75),
    count: random.pick(["exact", "of a shard", "none", "zero"]),
    known: random.pick([0, 0.5, 1]),
  };
}

/** Entries, and why the server refuses some of them; the first is good, for nothing is proven where no line is. */
function batchOf(random: Random): { entries: Entry[]; why: Map<number, Reason> } {
  const why = new Map<number, Reason>();
  const shares = reasons.map((reason) => [reason, random.next() < 0.5 ? random.next() ** 2 : 0] as const);
  const entries = Array.from({ length: random.pick([1, 3, 20, 150]) }, (_, i) => {
    const seq = i + 1;
    const reason = shares.find(([, share]) => i > 0 && random.next() < share)?.[0];
    if (reason !== undefined) why.set(seq, reason);
    const ms = nowMs - weekMs * (reason === "old" ? 12 : random.whole(0, 2)) + i;
    const deviceId = reason === "series" ? `new${random.whole(0, 4)}` : `d${random.whole(0, 9)}`;
    const payload = JSON.stringify({ seq, metrics: { a: reason === "type" ? "x" : 1.5 } });
    return event(seq, { payload, deviceId, receivedMs: ms, eventMs: ms, eventNs: 0 });
  });
  return { entries, why };
}

const seqOf = (line: string) => Number(/ seq=(\d+)i?[, ]/.exec(line)?.[1]);
/** VictoriaMetrics gets no text, which leaves nothing to refuse. */
const isBad = (line: string, why: ReadonlyMap<number, Reason>) =>
  why.has(seqOf(line)) && (why.get(seqOf(line)) !== "type" || line.includes('"x"'));

const weekOf = (line = "") => Math.floor(Number(line.split(" ").at(-1)?.slice(0, -6)) / weekMs);

/** The answer to these lines, of which some are bad. */
function answerTo(lines: string[], bad: string[], why: Map<number, Reason>, manner: Manner, random: Random) {
  const { api, storesOthers, count, known } = manner;
  const isKnown = random.next() < known;
  const listed = (line: string) => ({
    error_message: "no",
    line_number: lines.indexOf(line) + 1,
    original_line: "",
  });
  if (api === "victoriametrics")
    return new Response(isKnown ? `incorrect influx line "${bad[0]}": no` : "no", { status: 400 });
  if (api === "v3") {
    const error = storesOthers ? "partial write of line protocol occurred" : "line protocol parsing error";
    return Response.json(
      { error, data: storesOthers ? bad.map(listed) : listed(bad[0] ?? "") },
      { status: 400 },
    );
  }
  if (!storesOthers) {
    const message = isKnown ? bad.map((line) => `unable to parse '${line}': no`).join("\n") : "no";
    return Response.json({ code: "invalid", message }, { status: 400 });
  }
  const first = reasons.find((reason) => bad.some((line) => why.get(seqOf(line)) === reason)) ?? "odd";
  const meant = bad.filter((line) => why.get(seqOf(line)) === first);
  const isOfShard = count === "of a shard" && first !== "old";
  const counted = isOfShard ? meant.filter((line) => weekOf(line) === weekOf(meant[0])) : meant;
  const dropped = count === "none" ? "" : ` dropped=${count === "zero" ? 0 : counted.length}`;
  const said = `partial write: ${isKnown ? words[first] : "computer says no"}${dropped}`;
  return api === "v1"
    ? Response.json({ error: said }, { status: 400 })
    : Response.json({ code: "", message: `failure writing points to database: ${said}` }, { status: 422 });
}

function linesIn(body: RequestInit["body"]): string[] {
  if (!(body instanceof Uint8Array)) return [];
  return new TextDecoder().decode(body[0] === 0x1f ? gunzipSync(body) : body).split("\n");
}

test.each(Array.from({ length: seeds }, (_, i) => i + 1))("server %i", async (seed) => {
  const random = seededRandom(seed);
  const manner = mannerOf(random);
  const { entries, why } = batchOf(random);
  const stored = new Set<number>();
  let requests = 0;
  const settings = { url: "http://influx.invalid", api: manner.api, org: "o", timeDistanceMaxDays: 0 };
  const influx = openInflux(settings, undefined, async (url, { body }) => {
    if (!url.includes("write")) return new Response(null, { status: 404 });
    requests += 1;
    const lines = linesIn(body);
    const bad = lines.filter((line) => isBad(line, why));
    if (bad.length > 0 && !manner.storesOthers) return answerTo(lines, bad, why, manner, random);
    for (const line of lines) if (!bad.includes(line)) stored.add(seqOf(line));
    return bad.length === 0 ? new Response(null, { status: 204 }) : answerTo(lines, bad, why, manner, random);
  });
  for (let deliveries = 1, outcome: unknown = null; outcome === null; deliveries += 1) {
    const before = requests;
    outcome = await influx.deliver(entries).catch((error: unknown) => {
      expect(error).toHaveProperty("alarm", false);
      return null;
    });
    expect(requests - before).toBeLessThanOrEqual(requestsMax);
    expect(deliveries).toBeLessThan(deliveriesMax);
  }
  const seqs = entries.map(({ seq }) => seq);
  expect(seqs.filter((seq) => stored.has(seq) === influx.refused.has(seq))).toEqual([]);
  await influx.dispose();
});
