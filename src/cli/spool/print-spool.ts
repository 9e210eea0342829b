/** What `sluice spool` prints for people. */
import type { Config } from "../../config/index.ts";
import { counted, countedEntries, duration, number, size } from "../../core/text/readable.ts";
import type { Repaired } from "../../spool/tools/repair.ts";
import type { Lost } from "../../spool/tools/salvage.ts";
import type { SpoolStatus } from "../../spool/tools/status.ts";
import type { Verified } from "../../spool/tools/verify.ts";
import { table } from "../report.ts";

type Bounds = Pick<Config["spool"], "bytesMax" | "freeBytesMin">;

export function statusText(status: SpoolStatus, bounds: Bounds, nowMs: number): string {
  const { bytesMax } = bounds;
  const { head, first, groups, entries, bytes, oldestReceivedMs, newestReceivedMs, files } = status;
  const facts = [
    ["spool", `${status.path}, ${status.inUse ? "in use by a gateway" : "not in use"}`],
    [
      "entries",
      entries === 0
        ? "none held"
        : `${number(entries)} in ${counted(groups, "group")}, seq ${first} to ${head}`,
    ],
    ["bytes", `${size(bytes)} of ${size(bytesMax)} (${((bytes * 100) / bytesMax).toFixed(1)} %)`],
    ["oldest", oldestReceivedMs === null ? "-" : `${age(nowMs - oldestReceivedMs)} old`],
    ["room", roomText(status, bounds)],
    ["files", files.map((file) => `${file.path} ${size(file.bytes)}`).join(", ")],
    ["disk free", size(status.diskFreeBytes)],
    ["dead letters", String(status.deadLetters)],
  ];
  if (newestReceivedMs !== null) facts.splice(4, 0, ["newest", `${age(nowMs - newestReceivedMs)} old`]);
  const sinks = status.sinks.map((s) =>
    [s.sink, s.seq, s.delivered, s.ignored, s.refused, s.skipped, s.waiting, s.deadLetters].map(String),
  );
  const detours = status.sinks.flatMap(({ sink, detours: lanes }) =>
    lanes.map(({ lane, seq, waiting }) => [`${sink} ${lane}`, String(seq), String(waiting)]),
  );
  const books = Object.entries(status.books).map(([name, value]) => [name, String(value)]);
  return [
    facts.map(([name = "", value = ""]) => `${name.padEnd(14)}${value}\n`).join(""),
    table([
      ["sink", "seq", "delivered", "ignored", "refused", "skipped", "waiting", "dead letters"],
      ...sinks,
    ]),
    ...(detours.length === 0 ? [] : [table([["detour", "from seq", "waiting"], ...detours])]),
    ...(books.length === 0 ? [] : [table([["books", "count"], ...books])]),
  ].join("\n");
}

/** Bytes left until the bound or the disk's floor, whichever is nearer, and how long they last at the rate at which the held entries came in. */
export function room(
  status: SpoolStatus,
  { bytesMax, freeBytesMin }: Bounds,
): { roomBytes: number; roomSeconds: number | null } {
  const roomBytes = Math.max(0, Math.min(bytesMax - status.bytes, status.diskFreeBytes - freeBytesMin));
  const { oldestReceivedMs: from, newestReceivedMs: to } = status;
  const ms = from === null || to === null ? 0 : to - from;
  return {
    roomBytes,
    roomSeconds:
      ms < 60_000 || status.bytes === 0 ? null : Math.floor((roomBytes * ms) / status.bytes / 1000),
  };
}

function roomText(status: SpoolStatus, bounds: Bounds): string {
  const { roomBytes, roomSeconds } = room(status, bounds);
  return roomSeconds === null
    ? `${size(roomBytes)}; how long that lasts is not known yet: less than a minute of messages is held`
    : `${size(roomBytes)}, ${duration(roomSeconds)} at the rate at which the held entries came in`;
}

export function verifiedText(found: Verified): string {
  const { path, sound, pages, groups, entries, damaged, missing, deadLetters, badLetters, books } = found;
  return [
    `${path}: ${sound ? "sound" : "DAMAGED"}\n`,
    `${countedEntries(entries)} in ${counted(groups, "group")} and ${counted(deadLetters, "dead letter")} can be read\n`,
    ...pages.map((fault) => `file: ${fault}\n`),
    ...damaged.map((lost) => `damaged: ${lostText(lost)}\n`),
    ...missing.map((lost) => `missing: ${lostText(lost)}\n`),
    ...badLetters.map(({ id, why }) => `dead letter ${id}: ${why}\n`),
    ...(books === null ? [] : [`books: ${books}\n`]),
  ].join("");
}

export function repairedText({ before, original, notes }: Repaired): string {
  if (original === null) return `${before.path}: sound, nothing to repair\n`;
  const lost = before.damaged.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  return [
    `${before.path}: repaired; the damaged file is ${original}\n`,
    `kept ${countedEntries(before.entries)} in ${counted(before.groups, "group")}; could not keep ${countedEntries(lost)}\n`,
    ...before.damaged.map((each) => `lost: ${lostText(each)}\n`),
    ...before.badLetters.map(({ id, why }) => `lost: dead letter ${id}: ${why}\n`),
    ...notes.map((note) => `${note}\n`),
  ].join("");
}

export function lostText({ from, to, why }: Lost): string {
  return `seq ${from} to ${to} (${countedEntries(to - from + 1)}): ${why}`;
}

const age = (ms: number) => duration(Math.max(0, ms) / 1000);
