/**
 * Where lines go: a server (server.ts) or files (files.ts).
 */
import type { ApiKind } from "./api.ts";
import type { Verdict } from "./answer.ts";

export interface Rules {
  readonly kind: ApiKind | "file";
  /** The server itself says that it is InfluxDB. */
  readonly proven: boolean;
}

export interface Target {
  /** Which rules for lines and names hold. @throws {Outage} while that cannot be found out, so that no lines are made in vain */
  rules(signal: AbortSignal): Promise<Rules>;
  /** Sends lines to a database. @throws {Outage} if their fate is unknown */
  post(database: string, body: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<Verdict>;
  /** @returns one sentence @throws if it cannot be used */
  probe(): Promise<string>;
  /** What a trouble names. */
  readonly place: string;
  /** What it is, without secrets, and the bytes that went to it. */
  readonly label: string;
  readonly bytesSent: number;
  close(): Promise<void>;
}
