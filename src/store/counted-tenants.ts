/**
 * The tenant under which a reject is counted per minute. Anybody can make up a tenant, and each would be one more row in
 * quarantine_counters_minute for good: 100,000 in eight seconds. So a tenant has rows of its own once an event of it was accepted (made-up
 * tenants have none). Strangers have a few rows per minute, which show a misspelt tenant by name, and share one row beyond those.
 *
 * The sink decides, because it makes the rows, and remembers in memory alone: after a restart a tenant is a stranger until its next
 * event. Rejected alternative: to ask the registry for its tenants. It may be away, and the counts are exact either way.
 */

/** The tenant of rejects whose topic names none, or a stranger beyond the bound. */
const shared = "unknown";
/** Rows of strangers per minute. */
export const strangerRowsMax = 20;
const tenantsMax = 10_000;
/** Minutes that are remembered: messages that waited for the registry come late, so minutes come mixed. */
const minutesMax = 60;

export class CountedTenants {
  readonly #heard = new Set<string>();
  /** Minute → its rows of strangers, as reason and tenant. */
  readonly #rows = new Map<number, Set<string>>();

  /** An event of this tenant was accepted. */
  heard(tenantId: string): void {
    if (this.#heard.has(tenantId)) return;
    if (this.#heard.size >= tenantsMax) this.#heard.clear();
    this.#heard.add(tenantId);
  }

  /** The tenant under which a reject is counted. */
  nameFor(tenantId: string | null, minute: number, reason: string): string {
    if (tenantId === null) return shared;
    if (this.#heard.has(tenantId)) return tenantId;
    const rows = this.#rowsOf(minute);
    const row = `${reason} ${tenantId}`;
    if (!rows.has(row) && rows.size >= strangerRowsMax) return shared;
    rows.add(row);
    return tenantId;
  }

  #rowsOf(minute: number): Set<string> {
    const present = this.#rows.get(minute);
    if (present !== undefined) return present;
    const [oldest] = this.#rows.keys();
    if (this.#rows.size >= minutesMax && oldest !== undefined) this.#rows.delete(oldest);
    const rows = new Set<string>();
    this.#rows.set(minute, rows);
    return rows;
  }
}

/** Shared by the process: a gateway has one sink that writes the tables. */
export const countedTenants = new CountedTenants();
