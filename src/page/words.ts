/** Numbers and times as people read them, as far as the page alone shows them so. */
import { counted, countedEntries, duration, localTime as time, number } from "../core/readable.ts";

export { counted, countedEntries, duration, number, time };

export function rate(n: number): string {
  return `${n >= 10 || n === 0 ? number(n) : n.toFixed(1)}/s`;
}

export function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

export function ms(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return value < 1000 ? `${value} ms` : duration(value / 1000);
}
