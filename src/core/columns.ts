/**
 * The one table of names: what is `tenantId` in this program is `tenant_id` in a table, in JSON and in a file.
 *
 * Both stores, HTTP, files and the command line rename by it, and the types follow. Rejected alternative: a rule that makes one name
 * of the other; the column of `tokenHash` is provision_token_hash, and a rule would rename whatever it is given.
 */
const names = {
  tenantId: "tenant_id",
  deviceId: "device_id",
  siteId: "site_id",
  msgType: "msg_type",
  eventTs: "event_ts",
  ingestedAt: "ingested_at",
  tokenHash: "provision_token_hash",
  tokenSet: "token_set",
  previousTokenHash: "previous_token_hash",
  previousTokenUntil: "previous_token_until",
  previousTokenUntilMs: "previous_token_until_ms",
  provisionedAt: "provisioned_at",
  fwVersion: "fw_version",
} as const;

type Names = typeof names;
type FieldNames = { readonly [F in keyof Names as Names[F]]: F };
type Renamed<K, By> = K extends keyof By ? By[K] & PropertyKey : K;

/** Under the names of the columns. */
export type Columns<T> = {
  [K in keyof T as Renamed<K, Names> & PropertyKey]: Exclude<T[K], undefined>;
};
/** Under the names of the fields. */
export type Fields<T> = {
  [K in keyof T as Renamed<K, FieldNames> & PropertyKey]: Exclude<T[K], undefined>;
};

const columnOf: Readonly<Record<string, string>> = names;
const fieldOf: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(names).map(([field, column]) => [column, field]),
);

/** Names that are not in the table stay; what is undefined is left out. */
export function toColumns<T extends object>(fields: T): Columns<T> {
  return renamed(fields, columnOf) as Columns<T>;
}

/** The way back. */
export function toFields<T extends object>(columns: T): Fields<T> {
  return renamed(columns, fieldOf) as Fields<T>;
}

function renamed(from: object, by: Readonly<Record<string, string>>): Record<string, unknown> {
  const to: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(from)) if (value !== undefined) to[by[name] ?? name] = value;
  return to;
}
