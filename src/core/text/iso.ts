/** A time as JSON has it: ISO 8601 in UTC; null: there is none. */
export function isoOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
