/**
 * Numbers, sizes and times as people read them, on the page, in a terminal and in the sentences of the attention. What a script reads
 * (JSON, metrics, CSV) keeps its digits as they are.
 */

export function number(n: number): string {
  return Math.round(n).toLocaleString("en");
}

/** "1 device", "2,000 devices". */
export function counted(n: number, one: string, many = `${one}s`): string {
  return `${number(n)} ${n === 1 ? one : many}`;
}

export const countedEntries = (n: number) => counted(n, "entry", "entries");

/** What waits in the spool, as a clause. */
export function entriesWait(n: number): string {
  return `${countedEntries(n)} ${n === 1 ? "waits" : "wait"}`;
}

/** The largest unit of which there are two or more. */
export function duration(seconds: number): string {
  const units = [
    ["years", 365 * 86_400],
    ["days", 86_400],
    ["hours", 3_600],
    ["min", 60],
  ] as const;
  const [unit, per] = units.find(([, length]) => seconds >= 2 * length) ?? ["s", 1];
  return `${number(Math.floor(seconds / per))} ${unit}`;
}

/** "1 byte", "4.0 KiB", "10.0 GiB". */
export function size(bytes: number): string {
  const units = ["KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return power === 0 ? counted(bytes, "byte") : `${(bytes / 1024 ** power).toFixed(1)} ${units[power - 1]}`;
}

/** In the reader's own time; the date too unless it is today, with its year unless it is this one. */
export function localTime(iso: string): string {
  const at = new Date(iso);
  const now = new Date();
  const clock = at.toTimeString().slice(0, 5);
  if (at.toDateString() === now.toDateString()) return clock;
  const year = at.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return `${at.toLocaleDateString("en", { month: "short", day: "numeric", year })} ${clock}`;
}
