/** Devices in files: NDJSON (one object per line) or CSV (a heading that names the columns), under the names of the columns. */
import { z } from "zod";
import { toColumns } from "../../core/columns.ts";
import { columnsOf, newDeviceColumns, newDeviceOf } from "../device-columns.ts";
import { devicePages } from "../device-pages.ts";
import {
  type Device,
  type DeviceAuth,
  type DeviceFilter,
  type DeviceId,
  byDevice,
  deviceKey,
  type DeviceStore,
  type NewDevice,
} from "../../core/device.ts";
import { parseToPrint } from "../../core/text/json-digits.ts";
import { whyOf } from "../../core/text/zod-words.ts";
import { csvLine, csvRecords, lines } from "./csv.ts";

export type Format = "csv" | "ndjson";
export const mediaTypes: Readonly<Record<Format, string>> = {
  csv: "text/csv",
  ndjson: "application/x-ndjson",
};

/** One line of a file: a device to register, or why it is not one. */
export type ReadLine = { readonly line: number } & (
  { readonly device: NewDevice } | { readonly why: string }
);

const recordCharsMax = 65_536;
const written = [
  "tenant_id",
  "device_id",
  "site_id",
  "status",
  "token_set",
  "provisioned_at",
  "fw_version",
  "metadata",
] as const;
const hashesWritten = ["provision_token_hash", "previous_token_hash", "previous_token_until"] as const;
/** What the registry keeps of the tokens of devices. */
export type FindHashes = (ids: readonly DeviceId[]) => Promise<DeviceAuth[]>;

/** Whatever export writes can be imported: columns that only describe are ignored. */
const fileColumns = newDeviceColumns
  .extend({ token_set: z.unknown().optional(), provisioned_at: z.unknown().optional() })
  .transform(newDeviceOf);

/**
 * @param asked absent: what the text begins like, for its name may be any
 * @throws if the text cannot be divided into records any more; those before were yielded
 */
export async function* readDevices(
  bytes: AsyncIterable<Uint8Array>,
  asked?: Format,
): AsyncGenerator<ReadLine> {
  const { text, format } =
    asked === undefined ? await formatOf(textOf(bytes)) : { text: textOf(bytes), format: asked };
  const records = format === "csv" ? csvObjects(text) : jsonObjects(text);
  for await (const { line, ...record } of records) {
    if ("why" in record) {
      yield { line, why: record.why };
      continue;
    }
    const read = fileColumns.safeParse(record.value);
    yield read.success ? { line, device: read.data } : { line, why: whyOf(read.error) };
  }
}

/**
 * Queries the registry one page at a time, as the text is consumed.
 * @param findHashes for a registry that moves; absent: devices are written without what is kept of their tokens
 */
export async function* writeDevices(
  devices: Pick<DeviceStore, "list">,
  filter: Omit<DeviceFilter, "limit" | "after">,
  format: Format,
  findHashes?: FindHashes,
): AsyncGenerator<string> {
  const names = findHashes === undefined ? written : [...written, ...hashesWritten];
  if (format === "csv") yield csvLine(names);
  for await (const page of devicePages(devices, filter)) {
    const rows: Columns[] =
      findHashes === undefined ? page.map(columnsOf) : await withHashes(page, findHashes);
    if (rows.length > 0) yield rows.map((row) => lineOf(row, names, format)).join("");
  }
}

type Columns = Readonly<Record<string, string | boolean | null | Readonly<Record<string, unknown>>>>;

/** A device that was removed between the two queries is left out. */
async function withHashes(page: readonly Device[], find: FindHashes): Promise<Columns[]> {
  const found = byDevice(await find(page));
  return page.flatMap((device) => {
    const auth = found.get(deviceKey(device.tenantId, device.deviceId));
    return auth === undefined ? [] : [{ ...columnsOf(device), ...hashColumns(auth) }];
  });
}

/** An import takes no null, so what is absent is not written. */
function hashColumns({ tokenHash, previousTokenHash, previousTokenUntilMs }: DeviceAuth): Columns {
  const isOver = previousTokenHash === null || previousTokenUntilMs === null;
  return toColumns({
    ...(tokenHash !== null && { tokenHash }),
    ...(!isOver && { previousTokenHash, previousTokenUntil: new Date(previousTokenUntilMs).toISOString() }),
  });
}

function lineOf(columns: Columns, names: readonly string[], format: Format): string {
  if (format === "ndjson") return `${JSON.stringify(columns)}\n`;
  return csvLine(
    names.map((name) => {
      const value = columns[name];
      return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value ?? "");
    }),
  );
}

async function* textOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const decode = (piece?: Uint8Array) => {
    try {
      return decoder.decode(piece, { stream: piece !== undefined });
    } catch (cause) {
      throw new Error("it is not UTF-8: save it anew in that encoding", { cause });
    }
  };
  for await (const piece of bytes) yield decode(piece);
  yield decode();
}

/** No heading of CSV begins like JSON. */
async function formatOf(
  text: AsyncGenerator<string>,
): Promise<{ text: AsyncIterable<string>; format: Format }> {
  let start = "";
  while (start.trim() === "" && start.length < recordCharsMax) {
    const { done, value } = await text.next();
    if (done === true) break;
    start += value;
  }
  const whole = async function* () {
    yield start;
    yield* text;
  };
  return { text: whole(), format: /^\s*[{[]/.test(start) ? "ndjson" : "csv" };
}

type Found = { readonly line: number } & ({ readonly value: unknown } | { readonly why: string });

async function* jsonObjects(text: AsyncIterable<string>): AsyncGenerator<Found> {
  for await (const { line, text: json } of lines(text, recordCharsMax)) {
    if (json.trim() !== "") yield { line, ...parse(json, "not JSON") };
  }
}

/** An empty cell is an absent value, and a record of nothing else, as spreadsheets leave below a table, is none. */
async function* csvObjects(text: AsyncIterable<string>): AsyncGenerator<Found> {
  let heading: readonly string[] | undefined;
  for await (const { line, cells } of csvRecords(text, recordCharsMax)) {
    if (cells.every((cell) => cell === "")) continue;
    if (heading === undefined) {
      heading = headingOf(cells);
      continue;
    }
    if (cells.length !== heading.length) {
      yield { line, why: `${cells.length} cells under ${heading.length} headings` };
      continue;
    }
    const entries = heading.map((name, i) => [name, cells[i] ?? ""] as const).filter(([, c]) => c !== "");
    const value: Readonly<Record<string, string>> = Object.fromEntries(entries);
    const metadata = value["metadata"] === undefined ? undefined : parse(value["metadata"], "");
    if (metadata !== undefined && "why" in metadata) yield { line, why: "metadata: not JSON" };
    else yield { line, value: metadata === undefined ? value : { ...value, metadata: metadata.value } };
  }
}

/** Without this check, a file without its heading would lose its first device, or be wrong line by line. */
function headingOf(cells: readonly string[]): readonly string[] {
  const names = cells.map((cell) => cell.toLowerCase());
  const known = Object.keys({ ...newDeviceColumns.shape, token_set: 0, provisioned_at: 0 });
  const faults = [
    ["lacks", ["tenant_id", "device_id", "site_id"].filter((name) => !names.includes(name))],
    ["has", names.filter((name) => !known.includes(name)).map((name) => JSON.stringify(name))],
    ["has twice", names.filter((name, at) => names.indexOf(name) < at)],
  ] as const;
  const wrong = faults.filter(([, which]) => which.length > 0);
  if (wrong.length === 0) return names;
  const told = wrong.map(([verb, which]) => `${verb} ${which.slice(0, 5).join(", ")}`).join(" and ");
  throw new Error(
    `line 1: the heading must name tenant_id, device_id and site_id, separated by commas, and besides only ${known.slice(3).join(", ")}, each once; this one ${told}`,
  );
}

function parse(text: string, why: string): { value: unknown } | { why: string } {
  try {
    return { value: parseToPrint(text) };
  } catch {
    return { why };
  }
}
