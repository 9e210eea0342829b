/**
 * The contract of a store: where the registry and the tables live. There are two, PostgreSQL and a local SQLite file, behind one
 * door (store/open-store.ts), so that nobody else asks which one it is.
 */
import type { QuarantineTable } from "./quarantine-table.ts";
import type { EventTable } from "./recent.ts";
import type { Registry } from "./registry.ts";
import type { Sink } from "./sink.ts";

export interface Store {
  /** What it is, for people: PostgreSQL, or the local store. */
  readonly title: string;
  /** Where it is, for people: host:port/database, without user and password, or a path. */
  readonly place: string;
  readonly registry: Registry;
  /** The sink that writes the tables. Closing it closes nothing: the store is closed once, as a whole. */
  readonly tables: Sink;
  readonly quarantine: QuarantineTable;
  readonly events: EventTable;
  /**
   * Brings the tables to what this version wants. @returns what was done, one sentence each; nothing if it was all there
   * @param isAnew empty tables may take the place of those that this site had
   */
  migrate(isAnew?: boolean): Promise<string[]>;
  /** What a start of a gateway would find. Changes nothing. */
  inspect(): Promise<Inspection>;
  /** Asks the registry what a gateway will ask of it, and counts the devices. Changes nothing. @throws what stands in the way */
  probe(autoProvision: boolean): Promise<Census>;
  /** Removes old rows until it is closed. Absent: the rows are kept by whoever administers the server. */
  keepRetention?(bounds: RetentionBounds): Retention;
  close(): Promise<void>;
}

export interface Inspection {
  readonly missingTables: readonly string[];
  /** Whether they may be created by who we are. */
  readonly mayCreate: boolean;
  /** Why not every change of the registry is told, by whatever process it was made; null: each is. */
  readonly untold: string | null;
  /** Changes by sessions that set session_replication_role are not told, although others are. */
  readonly missesReplicas: boolean;
  /** Whose a token is can be found without reading the whole registry. */
  readonly findsTokens: boolean;
}

export interface Census {
  readonly devices: number;
  readonly tenants: number;
}

export interface RetentionBounds {
  /** Older rows go; 0: only if the disk is nearly full. */
  readonly retentionDays: number;
  /** What the spool leaves free on the same disk (SPOOL_MIN_FREE_BYTES): room is made before that is reached. */
  readonly freeBytesMin: number;
  /** By which time rows are old, at the latest: as the spool has kept it (spool/age.ts). */
  ageNowMs(): number;
}

export interface Retention {
  /** Rows that went, since this start. */
  stats(): { readonly rows_expired: number; readonly rows_removed_for_room: number };
  close(): void;
}
