/**
 * The levels at which the real world spoils a message, each with its ways: the structure of the document, its tokens, its bytes, and the
 * topic.
 */
import type { Random } from "../../src/simulator/random.ts";
import { object, type Pair, raw, type Value } from "./json.ts";
import { anything, word } from "./values.ts";
import { type Device, noNumbers, numbers, sharp, tenants, timestamps } from "./world.ts";

type Spoil = (pairs: Pair[], device: Device, chance: Random) => void;

const known = [
  "ts",
  "site_id",
  "seq",
  "provision_token",
  "metrics",
  "tenant_id",
  "device_id",
  "msg_type",
] as const;
const tokenNames = [
  "provision_token",
  "Provision_Token",
  "PROVISION_TOKEN",
  "my_provision_token",
  "token",
  "provisionToken",
] as const;

function put(pairs: Pair[], key: string, value: Value): void {
  const pair = pairs.find(([name]) => name === key);
  if (pair) pair[1] = value;
  else pairs.push([key, value]);
}

export const structural: readonly [Spoil, ...Spoil[]] = [
  (pairs, _, chance) => void pairs.splice(chance.whole(0, pairs.length), 1),
  (pairs, _, chance) => put(pairs, chance.pick(known), anything(chance)),
  (pairs, _, chance) => put(pairs, chance.pick(known), null),
  (pairs, _, chance) =>
    void pairs.splice(chance.whole(0, pairs.length), 0, [chance.pick(known), anything(chance)]),
  (pairs, _, chance) => void pairs.push([word(chance), anything(chance)]),
  (pairs, _, chance) => put(pairs, "ts", chance.pick(timestamps)),
  (pairs, _, chance) => put(pairs, "seq", chance.pick(numbers)),
  (pairs, _, chance) => put(pairs, "metrics", object([word(chance), anything(chance)])),
  (pairs, _, chance) => put(pairs, "metrics", object(["m", chance.pick(numbers)], ["m", anything(chance)])),
  (pairs, _, chance) =>
    put(
      pairs,
      "metrics",
      object(...Array.from({ length: chance.whole(45, 55) }, (__, at): Pair => [`m${at}`, at])),
    ),
  (pairs, _, chance) => put(pairs, "metrics", object(["k".repeat(chance.whole(126, 130)), 1])),
  (pairs, _, chance) => put(pairs, "n", nested(chance.whole(60, 68), chance.next() < 0.5)),
  (pairs, _, chance) => put(pairs, "pad", "p".repeat(chance.pick([1_000, 8_000, 20_000]))),
  (pairs) => put(pairs, "digits", raw("7".repeat(16_000))),
  (pairs) => put(pairs, "site_id", "elsewhere"),
  (pairs, _, chance) =>
    put(pairs, chance.pick(["tenant_id", "device_id", "msg_type"]), chance.pick<Value>([17, "other", ""])),
  (pairs, { token }) => put(pairs, "provision_token", `${token}x`),
  (pairs, { token }, chance) =>
    void pairs.unshift([chance.pick(tokenNames), chance.pick<Value>([token, object(["a", token]), [token]])]),
  (pairs, { token }, chance) =>
    void pairs.push([
      "note",
      chance.pick([token, `it is ${token}!`, JSON.stringify({ provision_token: token })]),
    ]),
  (pairs, { token }) => void pairs.push([`k ${token}`, 1]),
  (pairs, { token }) =>
    void pairs.push(["deep", JSON.stringify({ a: JSON.stringify({ provision_token: token }) })]),
  (pairs, { token }) => put(pairs, "metrics", object(["secret", token])),
  (pairs, { token }) => put(pairs, "ts", token),
  (pairs, { token }) => put(pairs, "site_id", token),
];

function nested(depth: number, isArray: boolean): Raw {
  return raw(
    isArray ? "[".repeat(depth) + "]".repeat(depth) : `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`,
  );
}
type Raw = ReturnType<typeof raw>;

const jsonToken = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

export function spoilTokens(text: string, chance: Random): string {
  const parts = text.match(jsonToken) ?? [];
  const at = chance.whole(0, Math.max(0, parts.length - 1));
  const part = parts[at] ?? "";
  const instead = [
    [],
    [part, part],
    [chance.pick(noNumbers)],
    ["//"],
    [chance.pick(["{", "}", "[", "]", ",", ":", '"', "\\"])],
    ["'x'"],
  ] as const;
  parts.splice(at, 1, ...chance.pick<readonly string[]>(instead));
  return parts.join("");
}

type Bytewise = (bytes: Uint8Array, chance: Random) => Uint8Array;
const splice = (bytes: Uint8Array, at: number, gone: number, ...bytesPut: number[]) =>
  Buffer.concat([bytes.subarray(0, at), Buffer.from(bytesPut), bytes.subarray(at + gone)]);

export const bytewise: readonly [Bytewise, ...Bytewise[]] = [
  (bytes, chance) => splice(bytes, chance.whole(0, bytes.length), 1, chance.whole(0, 255)),
  (bytes, chance) =>
    splice(
      bytes,
      chance.whole(0, bytes.length),
      0,
      chance.pick([0, 9, 10, 13, 34, 92, 0xc0, 0xff, 0xed, 0x7f]),
    ),
  (bytes, chance) => splice(bytes, chance.whole(0, bytes.length), chance.whole(1, 20)),
  (bytes, chance) => bytes.subarray(0, chance.whole(0, bytes.length)),
  (bytes, chance) => bytes.subarray(chance.whole(0, bytes.length)),
  (bytes) => Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bytes]),
  (bytes) => Buffer.concat([bytes, bytes]),
  (bytes) => Buffer.from(Buffer.from(bytes).toString("utf8"), "utf16le"),
  (bytes) => Buffer.from(Buffer.from(bytes).toString("utf8"), "latin1"),
  () => new Uint8Array(),
  (_, chance) =>
    Buffer.from(chance.pick(["{}", "[]", "null", "0", '""', " ", "\0", "true", "[[]]", '{"":""}'])),
  (_, chance) => Uint8Array.from({ length: chance.whole(1, 40) }, () => chance.whole(0, 255)),
];

export function spoilTopic(topic: string, { token, row }: Device, chance: Random): string {
  const levels = topic.split("/");
  const at = chance.whole(0, levels.length - 1);
  const spoils: readonly [() => void, ...(() => void)[]] = [
    () => void levels.splice(at, 1),
    () => void levels.splice(at, 0, "more"),
    () => void (levels[at] = ""),
    () => void (levels[at] = word(chance)),
    () => void (levels[at] += chance.pick(sharp)),
    () => void (levels[at] = "l".repeat(chance.pick([511, 512, 513, 60_000]))),
    () => void (levels[at] = token),
    () => void (levels[1] = chance.pick(tenants)),
    () => void (levels[3] = `unknown-${chance.whole(1, 50)}`),
    () => void (levels[3] = `${row.deviceId}${row.deviceId}`),
    () => void levels.splice(0, 5, ...Array<string>(300).fill("")),
  ];
  chance.pick(spoils)();
  return levels.join("/");
}
