/**
 * Names and tags as line protocol writes them: the name of a table or a field, and the tags that say whose series a line is.
 *
 * Backslashes and control characters are refused because InfluxDB 1, 2 and 3 read them differently, so that no spelling is right on
 * all of them; in string fields (line.ts) they are exact everywhere. Rejected alternative: to replace them, for then two names could become one.
 */
import { telemetryOf, type Entry } from "../../core/entry.ts";

/** Why an entry can never be written. */
export class Unwritable extends Error {
  override readonly name = "Unwritable";
}

/** Control characters, backslash and halves of surrogate pairs have no spelling that every version reads the same. */
// oxlint-disable-next-line no-control-regex
const impossible = /[\\\u0000-\u001f\u007f]/;
// oxlint-disable-next-line no-control-regex
const special = /[\\,= \u0000-\u001f\u007f\ud800-\udfff]/;

/** A tag value or a name as the grammar writes it; null if it cannot. */
export function escapeName(name: string): string | null {
  if (name !== "" && !special.test(name)) return name;
  if (name === "" || impossible.test(name) || !name.isWellFormed()) return null;
  return name.replace(/[,= ]/g, "\\$&");
}

/** Measurement and tags. @throws {Unwritable} */
export function seriesText(
  entry: Entry,
  table: string,
  { tenantTag }: { readonly tenantTag: boolean },
): string {
  const tags = `,device_id=${tag("device_id", entry.deviceId)},site_id=${tag("site_id", entry.siteId)}`;
  return tenantTag ? `${table},tenant_id=${tag("tenant_id", entry.tenantId)}${tags}` : table + tags;
}

function tag(name: string, value: string | null): string {
  const written = escapeName(value ?? "");
  if (written !== null) return written;
  throw new Unwritable(`tag ${name} cannot be ${JSON.stringify(value ?? "")} in line protocol`);
}

/** Of its fields, in the order in which they are written. */
export function namesIn(reading: Pick<Entry, "payload">): string[] {
  const { seq, metrics } = telemetryOf(reading);
  const names = Object.keys(metrics).filter((name) => metrics[name] !== null);
  return seq === undefined ? names : ["seq", ...names];
}
