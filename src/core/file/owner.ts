/**
 * Whose a file in DATA_DIR is. A tool that root runs must leave nothing there that the service, a user without privileges, cannot
 * open; and if a file cannot be opened, the message says whose it is and what to do.
 *
 * SQLite itself gives the -wal and -shm files of a database to the owner of the database.
 */
import { accessSync, constants, existsSync, lchownSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { freeBytesOn, whyNoNewFile } from "./free-bytes.ts";

/** Gives a file that root has just made to the owner of its directory. */
export function giveToOwner(path: string): void {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = statSync(dirname(path));
  if (uid !== 0) lchownSync(path, uid, gid);
}

/** What to do if a directory is on a disk that takes no writes, whoever asks: Linux mounts one so that has failed. */
export function whyReadOnly(dir: string): string | undefined {
  if (accessFault(dir) !== "EROFS") return undefined;
  return `the file system of ${dir} is mounted read-only, as after a fault of its disk: see dmesg, copy what is there with \`sluice backup\`, and mount it to be written`;
}

/** Is there this file? @throws if this user may not look: it would seem that there is none */
export function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (cause) {
    throw new Error(`cannot look for ${path}: ${whyNotOurs(path) ?? "run this as its owner, or as root"}`, {
      cause,
    });
  }
}

/** Why this process cannot open a database file, and the cure; undefined if it may. */
function whyNotOurs(path: string): string | undefined {
  const readOnly = whyReadOnly(dirname(path));
  if (readOnly !== undefined) return readOnly;
  for (const part of [dirname(path), path, `${path}-wal`, `${path}-shm`]) {
    if (!existsSync(part) || accessFault(part) === undefined) continue;
    const { uid } = statSync(part);
    const owner = statSync(dirname(path)).uid;
    const cure =
      uid === owner
        ? "run this as that user, or as root"
        : `as root: chown --reference=${dirname(path)} ${dirname(path)}/*`;
    return `${part} belongs to user ${uid} and this is user ${process.geteuid?.() ?? "?"}: ${cure}`;
  }
  return undefined;
}

/** What to do about a database file that cannot be opened. @param cause what was said of it */
export function cureOf(path: string, cause: unknown): string {
  const look = "see that its directory exists, can be written and has room, also within its quota";
  return whyNotOurs(path) ?? whyNoRoom(dirname(path)) ?? (isOfDisk(cause) ? afterDmesg(look) : look);
}

/** It may be a fault of the disk (EIO), in the system's words or in SQLite's. */
export function isOfDisk(error: unknown): boolean {
  const code = (error as { readonly code?: unknown } | null | undefined)?.code;
  return typeof code === "string" && /^(EIO$|SQLITE_IOERR)/.test(code);
}

/** Of what is damaged, or is on a disk that does not read it: what is not read now may be read later, and a repair would give it up. */
export const afterDmesg = (remedy: string) =>
  `see dmesg for a fault of the disk; if there is none, ${remedy}`;

function whyNoRoom(dir: string): string | undefined {
  if (!existsSync(dir)) return undefined;
  const isFull = freeBytesOn(dir) === 0;
  return whyNoNewFile(dir) ?? (isFull ? `the disk of ${dir} is full: make room on it` : undefined);
}

function accessFault(path: string): string | undefined {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "unknown";
  }
}
