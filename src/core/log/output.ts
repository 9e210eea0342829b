/**
 * Writes log lines to a descriptor, without ever delaying the gateway.
 *
 * A reader of the log that stops (a full pipe, a journal that hangs) must not stop the gateway, so one write at a
 * time is under way in the runtime's thread pool, and the rest waits in memory, bounded. Beyond the bound lines are
 * lost and counted, and the log itself reports how many once it moves again.
 *
 * Rejected alternatives: synchronous writes, because they froze intake and `/healthz` behind a full pipe; SonicBoom's
 * asynchronous mode, because it writes the rest synchronously as the process exits, and then hangs there; O_NONBLOCK
 * on the descriptor, because it would change the descriptor for every process that shares it.
 */
import { write } from "node:fs";

/** Bound of what waits for the descriptor; beyond it lines are lost. */
export const waitingBytesMax = 1_000_000;
/** How much is handed over per write. */
const writeBytesMax = 65_536;
const retryMs = 1_000;

export interface LogOutput {
  write(line: string): void;
  /** Lines that were never written. */
  lost(): number;
  /** Resolves once nothing waits, at the latest after `maxMs`. */
  drained(maxMs: number): Promise<void>;
}

/** @param saysLost makes the line that reports `count` lost ones */
export function logOutput(fd: number, saysLost: (count: number) => string): LogOutput {
  const lines: Buffer[] = [];
  let waitingBytes = 0;
  let lost = 0;
  let lostSaid = 0;
  let isWriting = false;
  const onDrained: (() => void)[] = [];

  function add(line: string): void {
    const bytes = Buffer.from(line);
    lines.push(bytes);
    waitingBytes += bytes.length;
  }

  function next(): void {
    if (lines.length === 0 && lost > lostSaid) {
      add(saysLost(lost - lostSaid));
      lostSaid = lost;
    }
    isWriting = lines.length > 0;
    if (isWriting) return put(take());
    for (const resolve of onDrained.splice(0)) resolve();
  }

  /** Takes the oldest lines, as many as fit one write. */
  function take(): Buffer {
    let count = 0;
    for (let bytes = 0; count < lines.length && bytes < writeBytesMax; count++)
      bytes += lines[count]?.length ?? 0;
    return Buffer.concat(lines.splice(0, count));
  }

  /**
   * Writes, and retries after an error: a full disk has room again one day, and a pipe that would block is read
   * again.
   */
  function put(bytes: Buffer): void {
    write(fd, bytes, (error, written) => {
      const done = error ? 0 : written;
      waitingBytes -= done;
      if (done === bytes.length) next();
      else if (error) setTimeout(put, retryMs, bytes).unref();
      else put(bytes.subarray(done));
    });
  }

  return {
    write(line) {
      if (waitingBytes + line.length > waitingBytesMax) lost++;
      else add(line);
      if (!isWriting) next();
    },
    lost: () => lost,
    drained(maxMs) {
      if (!isWriting) return Promise.resolve();
      return new Promise((resolve) => {
        const timer = setTimeout(resolve, maxMs);
        onDrained.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    },
  };
}
