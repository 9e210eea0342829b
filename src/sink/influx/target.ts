/**
 * Where lines go: a server (server.ts) or files (files.ts).
 */
import type { ApiKind } from "./api.ts";
import type { Verdict } from "./answer.ts";

export interface Rules {
  readonly kind: ApiKind | "file";
  /** It said itself that it is InfluxDB. */
  readonly proven: boolean;
}

export interface Target {
  /** Which rules of lines and names hold. @throws {Outage} while it cannot be asked, so that nothing is made ready in vain. */
  rules(signal: AbortSignal): Promise<Rules>;
  /** Sends lines, one a row, to a database. @throws {Outage} where nothing is known of what became of them. */
  post(database: string, body: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<Verdict>;
  /** One sentence; throws where it cannot be used. */
  probe(): Promise<string>;
  /** What it is, without secrets, and the bytes that went to it. */
  readonly label: string;
  readonly bytesSent: number;
  close(): Promise<void>;
}
