/**
 * Whose a file in DATA_DIR is. A tool that root runs must leave nothing there that the service, a user without privileges, cannot
 * open; and if a file cannot be opened, the message says whose it is and what to do.
 *
 * SQLite itself gives the -wal and -shm files of a database to the owner of the database.
 */
import { accessSync, constants, existsSync, lchownSync, statSync } from "node:fs";
import { dirname } from "node:path";

/** Gives a file that root has just made to the owner of its directory. */
export function giveToOwner(path: string): void {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = statSync(dirname(path));
  if (uid !== 0) lchownSync(path, uid, gid);
}

/** Why this process cannot open a database file, and the cure; undefined if it may. */
export function whyNotOurs(path: string): string | undefined {
  for (const part of [dirname(path), path, `${path}-wal`, `${path}-shm`]) {
    if (!existsSync(part) || mayWrite(part)) continue;
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

function mayWrite(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
