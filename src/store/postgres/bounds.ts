/**
 * Limits that the server itself keeps, in each transaction, so that what is abandoned keeps no lock and, where it waits for one, no
 * connection: a session that waits does not notice that its client is gone, and a try every few seconds would take all connections
 * that the server has. A client that is gone without a word is noticed within half a minute, also during COPY, which
 * statement_timeout does not reach.
 *
 * SET LOCAL, because a pooler refuses these as start-up parameters, and hands a session's own settings to others. Rejected alternative: to
 * cancel what is abandoned, which would end a COMMIT's wait for its standby as if that had confirmed it.
 */
const lockShare = 0.8;
/** Shorter than those wait who look up a device, a token or a notification (2 s), so that they learn what it waits for. */
const queryLockMaxMs = 1500;

export function boundsOf(timeoutMs: number, lockMs = timeoutMs * lockShare): string[] {
  return [
    `set local statement_timeout = ${timeoutMs}`,
    // Earlier than our own deadline, so that who waits for a lock learns that, and not that the server is silent.
    `set local lock_timeout = ${Math.ceil(lockMs)}`,
    `set local idle_in_transaction_session_timeout = ${timeoutMs}`,
    "set local tcp_keepalives_idle = 10",
    "set local tcp_keepalives_interval = 5",
    "set local tcp_keepalives_count = 3",
  ];
}

export const queryBoundsOf = (timeoutMs: number): string[] =>
  boundsOf(timeoutMs, Math.min(queryLockMaxMs, timeoutMs * lockShare));

/** A query within these limits as one request without BEGIN, which is one transaction too; its rows are the last result. */
export const boundedQuery = (timeoutMs: number, query: string): string =>
  [...queryBoundsOf(timeoutMs), query].join("; ");
