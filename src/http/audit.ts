/**
 * The audit log: who changed what through HTTP. A line in the log, and the same in audit.ndjson in the data directory, which
 * stays when a log is rotated away by others: 10 MB and one old file, so that it can never fill the disk.
 *
 * Who: the administrator's token by a short fingerprint (it tells which of two tokens it was, and too little to find the
 * token by), or "loopback" where there is none. The change was made before its line is written; a line that cannot be written
 * is said in the log, where it then is all the same.
 */
import { createHash } from "node:crypto";
import { appendFileSync, renameSync, statSync } from "node:fs";
import type { Clock } from "../core/clock.ts";
import { explain, type Log } from "../core/log.ts";
import { maskedIn } from "../core/mask.ts";

export const auditBytesMax = 10_000_000;

/** `action`: the endpoint's id. Never a token, nor its hash. */
export type AuditLog = (line: Readonly<Record<string, unknown>> & { action: string; from: string }) => void;

/** @param file where it is written besides the log */
export function createAudit(options: { file: string; who: string; clock: Clock; log: Log }): AuditLog {
  const { file, who, clock, log } = options;
  let bytes = sizeOf(file);
  return (line) => {
    const record = maskedIn({ at: new Date(clock.wallMs()).toISOString(), who, ...line });
    log.info({ audit: record }, "audit");
    const text = `${JSON.stringify(record)}\n`;
    try {
      if (bytes > 0 && bytes + text.length > auditBytesMax) {
        renameSync(file, `${file}.1`);
        bytes = 0;
      }
      appendFileSync(file, text, { mode: 0o640 });
      bytes += Buffer.byteLength(text);
    } catch (error) {
      log.error({ file, error: explain(error) }, "the audit log cannot be written");
    }
  };
}

export function fingerprint(adminToken: string | undefined): string {
  if (adminToken === undefined) return "loopback";
  return `token ${createHash("sha256").update(`sluice audit ${adminToken}`).digest("hex").slice(0, 6)}`;
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
