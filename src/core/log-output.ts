/**
 * Where log lines go: to a descriptor, never at the price of time.
 *
 * A reader of the log that stops (a full pipe, a journal that hangs) must not stop the gateway, so one write at a time is
 * under way in the runtime's thread pool and the rest waits in memory, bounded. Beyond the bound lines are lost and counted, and
 * the log itself says how many when it moves again.
 *
 * Rejected alternatives: synchronous writes, which froze intake and `/healthz` behind a full pipe; SonicBoom's asynchronous
 * mode, which writes what is left synchronously as the process exits and then hangs there; O_NONBLOCK on the descriptor, which
 * would change it for every process that shares it.
 */
import { write } from "node:fs";

/** What waits for the descriptor; beyond it lines are lost. */
export const waitingBytesMax = 1_000_000;
/** What is handed over at a time. */
const writeBytesMax = 65_536;
const retryMs = 1_000;

export interface LogOutput {
  write(line: string): void;
  /** Lines that were never written. */
  lost(): number;
  /** Resolves once nothing waits, at the latest after so many ms. */
  drained(maxMs: number): Promise<void>;
}

/** @param saysLost the line that stands for `count` lost ones */
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

  /** The oldest lines, as many as go at a time. */
  function take(): Buffer {
    let count = 0;
    for (let bytes = 0; count < lines.length && bytes < writeBytesMax; count++)
      bytes += lines[count]?.length ?? 0;
    return Buffer.concat(lines.splice(0, count));
  }

  /** A disk that is full has room again one day, and a pipe that would block is read. */
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
