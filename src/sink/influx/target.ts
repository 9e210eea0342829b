/**
 * Where lines go: a server (server.ts) or files (files.ts).
 */
import type { ApiKind } from "./api.ts";
import type { Verdict } from "./answer.ts";

export interface Target {
  /** Which rules of names hold. @throws {Outage} while it cannot be asked, so that nothing is made ready in vain. */
  kind(signal: AbortSignal): Promise<ApiKind | "file">;
  /** Sends lines, one a row, to a database. @throws {Outage} where nothing is known of what became of them. */
  post(database: string, body: string, signal: AbortSignal): Promise<Verdict>;
  /** One sentence; throws where it cannot be used. */
  probe(): Promise<string>;
  /** What it is, without secrets, and the bytes that went to it. */
  readonly label: string;
  readonly bytesSent: number;
  close(): Promise<void>;
}
