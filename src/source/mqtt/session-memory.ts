/**
 * What we made brokers remember: the filters that our sessions were given. A session outlives us with every subscription
 * that it ever had, so what a setting said last time must be known to be taken back. In a file of its own in DATA_DIR and not
 * in the spool: it is a dozen words that change once in years, and no part of the log's transactions.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { explain, type Log } from "../../core/log/log.ts";
import { writeWhole } from "../../core/file/whole-file.ts";

export interface SessionMemory {
  /** Filters that a session of this client id may have, at whatever broker: its address may be written anew (a name, TLS). */
  filtersOf(clientId: string): string[];
  /** Other ids under which a broker may keep a session of ours. */
  others(clientId: string): string[];
  /** Was there a session of this client id at that broker? */
  hasSession(clientId: string, broker: string): boolean;
  /** Notes what the session has now. On the disk when it returns. @throws if that cannot be written */
  note(clientId: string, broker: string, filters: readonly string[]): void;
  /** There is no session of this client id any more. */
  forget(clientId: string): void;
}

/** Client id → broker → filters. */
const shape = z.record(z.string(), z.record(z.string(), z.array(z.string())));
type Known = z.infer<typeof shape>;

/** `path` undefined: for as long as the process lives. */
export function createSessionMemory(path: string | undefined, log: Log): SessionMemory {
  let known = path === undefined ? {} : read(path, log);

  function keep(next: Known): void {
    if (path !== undefined) writeWhole(path, `${JSON.stringify(next, null, 2)}\n`);
    known = next;
  }

  return {
    others: (clientId) => Object.keys(known).filter((id) => id !== clientId),
    filtersOf: (clientId) => [...new Set(Object.values(known[clientId] ?? {}).flat())],
    hasSession: (clientId, broker) => known[clientId]?.[broker] !== undefined,
    note(clientId, broker, filters) {
      const before = known[clientId]?.[broker];
      if (before?.join("\n") === filters.join("\n")) return;
      keep({ ...known, [clientId]: { ...known[clientId], [broker]: [...filters] } });
    },
    forget(clientId) {
      const { [clientId]: _, ...rest } = known;
      keep(rest);
    },
  };
}

function read(path: string, log: Log): Known {
  try {
    return shape.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return {};
    const text = "cannot be read: a subscription that this gateway had before stays at the broker";
    log.warn({ path, error: explain(error) }, text);
    return {};
  }
}
