/**
 * The bulk look-up in PostgreSQL: one query for every device that waits, which no single name or row may spoil for the others.
 *
 * A name that the database's encoding cannot hold (温度計-1 in LATIN1) is an error of the whole query, and anybody may send one.
 * So in a database that is not UTF8, names beyond ASCII are compared as bytes with the rows in UTF-8, which cannot fail; only such
 * names cost a read of the whole table. Any other fault of single rows (a time that is none) is found by halving, provided that a
 * look-up of no device succeeds; then that device alone is unknown. What a view or a policy raises comes with no such proof, for it is
 * asked about rows: there another device must be shown after that, or the registry is away.
 */
import { toFields, type Columns } from "../../core/columns.ts";
import type { DeviceAuth, DeviceId } from "../../core/device.ts";
import { explain, type Log } from "../../core/log/log.ts";
import { mustHavePolicy } from "./hidden.ts";
import { arrayText, literal } from "./literals.ts";
import { serverError, type Postgres } from "./postgres-client.ts";
import { inHalves } from "./halves.ts";
import { isOfTable } from "./postgres-words.ts";

/** As text, whatever types a site has given them, and char(n) without its blanks; a site or a status that is NULL is none. */
const columns = `r.tenant_id::text, r.device_id::text, coalesce(r.site_id::text, '') as site_id,
  coalesce(r.status::text, '') as status, r.provision_token_hash::text, previous_token_hash::text,
  (extract(epoch from previous_token_until::timestamptz) * 1000)::float8 as previous_token_until_ms`;

/**
 * A query of device_registry that names the overlap columns without their table: where that has none (an existing deployment, not migrated)
 * they are those around the query, which are NULL. They may be added while the gateway runs. Rejected alternative: the row as JSON, for which
 * its metadata is read: of 5,000 devices with 10 KB each it takes a second.
 */
export const withOverlap = (query: string) =>
  `select found.* from (select null::text as previous_token_hash, null::timestamptz as previous_token_until) as absent,
    lateral (${query}) as found`;

const encodingQuery = "select current_setting('server_encoding') as name";
/** Encodings in which a query may hold any text: UTF8 itself, and SQL_ASCII, which converts nothing. */
const anyText = new Set(["UTF8", "SQL_ASCII"]);
// oxlint-disable-next-line no-control-regex -- ASCII, whole
const ascii = /^[\0-\x7f]*$/;

export function createFind({
  db,
  log,
}: {
  db: Postgres;
  log: Log;
}): (ids: readonly DeviceId[]) => Promise<DeviceAuth[]> {
  let encoding: string | undefined;
  /** The last device that was shown. */
  let witness: DeviceId | undefined;

  async function query(ids: readonly DeviceId[]): Promise<DeviceAuth[]> {
    encoding ??= (await db.ask<{ name: string }>("asking for the encoding", encodingQuery))[0]?.name ?? "";
    const possible = ids.filter((id) => !`${id.tenantId}${id.deviceId}`.includes("\0"));
    const isPlain = (id: DeviceId) => anyText.has(encoding ?? "") || ascii.test(id.tenantId + id.deviceId);
    const odd = possible.filter((id) => !isPlain(id));
    const plain = await byName(possible.filter(isPlain));
    const rows = odd.length > 0 ? [...plain, ...(await byBytes(odd))] : plain;
    if (rows.length === 0 && ids.length > 0) await mustHavePolicy(db, "device_registry");
    return rows.map((row) => toFields(row));
  }

  const byName = (ids: readonly DeviceId[]) =>
    db.ask<Columns<DeviceAuth>>(
      "looking up devices",
      withOverlap(`select ${columns}
        from unnest(${textArray(ids.map((id) => id.tenantId))}, ${textArray(ids.map((id) => id.deviceId))})
          as wanted (tenant_id, device_id)
        join device_registry r on r.tenant_id = wanted.tenant_id and r.device_id = wanted.device_id`),
    );

  const byBytes = (ids: readonly DeviceId[]) =>
    db.ask<Columns<DeviceAuth>>(
      "looking up devices by their bytes",
      withOverlap(`select ${columns} from device_registry r
        where (convert_to(r.tenant_id, 'UTF8'), convert_to(r.device_id, 'UTF8')) in (
          select * from unnest(${bytesArray(ids.map((id) => id.tenantId))}, ${bytesArray(ids.map((id) => id.deviceId))}))`),
    );

  return async (ids) => {
    const refused: { id: DeviceId; error: unknown }[] = [];
    let errorsLeft = errorsMax;
    async function work(some: readonly DeviceId[]): Promise<DeviceAuth[]> {
      const rows = await query(some);
      const [first] = rows;
      if (first === undefined) return rows;
      errorsLeft = Number.POSITIVE_INFINITY;
      witness = first;
      return rows;
    }
    const rows = await inHalves(
      ids,
      work,
      (id, error) => refused.push({ id, error }),
      ({ code }) => isOfTable(code) || (!ofItems.test(code) && errorsLeft-- <= 0),
    );
    const raised = refused.find(({ error }) => !ofItems.test(serverError(error)?.code ?? ""));
    if (raised && !(await isShown(witness))) throw raised.error;
    for (const { id, error } of refused)
      log.warn({ ...id, error: explain(error) }, "this device cannot be looked up: it is taken for unknown");
    return rows;
  };

  async function isShown(id: DeviceId | undefined): Promise<boolean> {
    return id !== undefined && (await query([id])).length > 0;
  }
}

/** A name that the encoding cannot hold, a value that cannot be read, a damaged row. Anything else a policy may raise for all. */
const ofItems = /^(22|54|XX00)/;

/** So many errors before any device is shown are of a registry that raises for all: enough to find some of 5,000, and soon over. */
const errorsMax = 32;

const textArray = (texts: readonly string[]) => `${literal(arrayText(texts))}::text[]`;

/** A PostgreSQL array of bytea, in hex. */
function bytesArray(texts: readonly string[]): string {
  return `${literal(`{${texts.map((text) => `"\\\\x${Buffer.from(text).toString("hex")}"`).join(",")}}`)}::bytea[]`;
}
