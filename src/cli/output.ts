/**
 * Writes the result of a command: all of it before the command goes on, or the command has not done its work.
 *
 * It is written synchronously, straight to the descriptor. Rejected alternative: Bun's process.stdout, because it
 * calls back before earlier writes have left the process, so an export into a pipe was cut short with exit code 0,
 * and a full disk went unnoticed. A command has nothing better to do than to wait for its reader; the log of a
 * gateway has, and goes another way (core/log/output.ts).
 */
import { readFileSync, writeSync } from "node:fs";

/** Thrown if the output could not be written completely: exit code 1. */
export class OutputLost extends Error {
  override readonly name = "OutputLost";
  /** True if the reader has read enough (`| head`): then nothing is said about it. */
  readonly isUnread: boolean;

  constructor(where: string, cause: unknown) {
    super(`${where} cannot be written`, { cause });
    this.isUnread = codeOf(cause) === "EPIPE";
  }
}

const pollMs = 5;

/** @throws OutputLost */
export function toStandardOutput(text: string): void {
  if (text === "") return;
  if (wasClosed(1)) throw new OutputLost("standard output", new Error("it is closed"));
  writeAll(1, text, "standard output");
}

/** Never throws: a remark must not end the work that it is about. */
export function toStandardError(text: string): void {
  try {
    writeAll(2, text, "standard error");
  } catch {
    // There is no reader to report this to.
  }
}

/** @throws OutputLost */
export function writeAll(fd: number, text: string, where: string): void {
  for (let left: Uint8Array = Buffer.from(text); left.length > 0;)
    left = left.subarray(some(fd, left, where));
}

/** How many bytes were written; 0 for a full pipe whose other owners set it not to block (O_NONBLOCK). */
function some(fd: number, bytes: Uint8Array, where: string): number {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    if (codeOf(error) !== "EAGAIN") throw new OutputLost(where, error);
    Bun.sleepSync(pollMs);
    return 0;
  }
}

/**
 * Whether the descriptor was closed at the start. Bun opens /dev/null in place of a closed standard descriptor, so
 * that no other file gets its number. An inherited descriptor never has close-on-exec (open(2): O_CLOEXEC, 02000000
 * in proc(5)'s octal flags); that one has.
 */
function wasClosed(fd: number): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & 0o2000000) !== 0;
  } catch {
    return false;
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}
