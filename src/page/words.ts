/** Numbers and times as people read them. */

export function number(n: number): string {
  return Math.round(n).toLocaleString("en");
}

export function rate(n: number): string {
  return `${n >= 10 || n === 0 ? Math.round(n).toLocaleString("en") : n.toFixed(1)}/s`;
}

export function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/** The largest unit of which there are two or more. */
export function duration(seconds: number): string {
  const units = [
    ["days", 86_400],
    ["hours", 3_600],
    ["min", 60],
  ] as const;
  const [unit, per] = units.find(([, length]) => seconds >= 2 * length) ?? ["s", 1];
  return `${Math.floor(seconds / per).toLocaleString("en")} ${unit}`;
}

/** In the reader's own time; today without the date. */
export function time(iso: string): string {
  const at = new Date(iso);
  const clock = at.toTimeString().slice(0, 5);
  return at.toDateString() === new Date().toDateString()
    ? clock
    : `${at.toLocaleDateString("en", { month: "short", day: "numeric" })} ${clock}`;
}

export function ms(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return value < 1000 ? `${value} ms` : duration(value / 1000);
}
