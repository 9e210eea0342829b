/**
 * The audit log: who changed what through HTTP. Each change is a line in the log, and the same line in audit.ndjson
 * in the data directory, which stays if others rotate the log away: 10 MB and one old file, so that it can never fill
 * the disk.
 *
 * Who: a short fingerprint of the administrator's token (it tells two tokens apart, and is too short to find the
 * token by), or "loopback" if there is none. The change is made before its line is written; a line that cannot be
 * written to the file is still in the log, with an error.
 */
import { createHash } from "node:crypto";
import { appendFileSync, renameSync, statSync } from "node:fs";
import type { Clock } from "../core/clock.ts";
import { explain, type Log } from "../core/log/log.ts";
import { maskedIn } from "../core/text/mask.ts";

export const auditBytesMax = 10_000_000;

/** `action`: the endpoint's id. A line never holds a token or its hash. */
export type AuditLog = (line: Readonly<Record<string, unknown>> & { action: string; from: string }) => void;

/** @param file the file that is written in addition to the log */
export function createAudit(options: { file: string; who: string; clock: Clock; log: Log }): AuditLog {
  const { file, who, clock, log } = options;
  return (line) => {
    const record = maskedIn({ at: new Date(clock.wallMs()).toISOString(), who, ...line });
    log.info({ audit: record }, "audit");
    const text = `${JSON.stringify(record)}\n`;
    try {
      // Asked each time, for somebody may have moved the file away.
      const bytes = sizeOf(file);
      if (bytes > 0 && bytes + Buffer.byteLength(text) > auditBytesMax) renameSync(file, `${file}.1`);
      appendFileSync(file, text, { mode: 0o640 });
    } catch (error) {
      log.error({ file, error: explain(error) }, "the audit log cannot be written");
    }
  };
}

export function whoHolds(adminToken: string | undefined): string {
  if (adminToken === undefined) return "loopback";
  return `token ${createHash("sha256").update(`sluice audit ${adminToken}`).digest("hex").slice(0, 6)}`;
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
