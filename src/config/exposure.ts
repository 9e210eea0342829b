/**
 * Who else could read, or replace, what the gateway relies on.
 *
 * Refused: what lets another user put a file of his in place of ours, for then nothing that is read back is to be believed, and a
 * tool of root's would write where he wants. Warned of: what an operator may have meant, or cannot change (a mounted volume of
 * root's, a secret of a container that is alone).
 */
import { lstatSync, readdirSync, realpathSync, type Stats, statSync } from "node:fs";
import { dirname, join } from "node:path";

export interface Exposure {
  readonly mistakes: readonly string[];
  readonly warnings: readonly string[];
}

const root = 0;
/** Permission bits of everybody else (inode(7)). */
const othersRead = 0o004;
const othersWrite = 0o002;
const othersEnter = 0o001;
/** In such a directory a file is replaced by its owner alone. */
const sticky = 0o1000;

const nothing: Exposure = { mistakes: [], warnings: [] };

/** What is wrong with the data directory; nothing while there is none. @param self the user of this process */
export function exposureOf(dataDir: string, self = process.geteuid?.() ?? root): Exposure {
  const found = directoryAt(dataDir);
  if (found === undefined) return nothing;
  const { uid, mode } = found;
  const mistakes: string[] = [];
  const warnings: string[] = [];
  // Root may work for whoever owns it; a directory of root's is as safe as the host.
  if (self !== root && uid !== self && uid !== root)
    mistakes.push(
      `DATA_DIR=${dataDir} belongs to user ${uid} and this is user ${self}: the owner could replace what is in it; run as that user, or as root: chown -R ${self} ${dataDir}`,
    );
  if ((mode & othersWrite) !== 0) {
    const said = `DATA_DIR=${dataDir} can be written by every user of this host`;
    const mend = `chmod o-w ${dataDir}`;
    const mayBeMeant = (mode & sticky) !== 0 || (uid === root && self !== root);
    if (mayBeMeant) warnings.push(`${said}: ${mend}`);
    else mistakes.push(`${said}, who could replace what is in it: ${mend}`);
  }
  return {
    mistakes: [...mistakes, ...faultsWithin(dataDir)],
    warnings: [...warnings, ...faultsAbove(dataDir)],
  };
}

/** What cannot be looked at is said where it is to be used. */
function directoryAt(path: string): Stats | undefined {
  try {
    const found = statSync(path);
    return found.isDirectory() ? found : undefined;
  } catch {
    return undefined;
  }
}

function faultsWithin(dataDir: string): string[] {
  return namesIn(dataDir).flatMap((name) => {
    const path = join(dataDir, name);
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found?.isSymbolicLink())
      return [
        `DATA_DIR: ${path} is a symbolic link, which is not followed: put the file itself there, or set DATA_DIR to the directory that it is in`,
      ];
    if (found?.isFile() && (found.mode & othersWrite) !== 0)
      return [`DATA_DIR: ${path} can be written by every user of this host: chmod o-w ${path}`];
    return [];
  });
}

/** Whoever may write a directory may put another in place of what is in it. */
function faultsAbove(dataDir: string): string[] {
  return above(realpathSync(dataDir))
    .filter(({ mode }) => (mode & othersWrite) !== 0 && (mode & sticky) === 0)
    .map(
      ({ path }) =>
        `DATA_DIR=${dataDir}: every user of this host can write ${path} above it: chmod o-w ${path}`,
    );
}

/** A tool of another user's may not look into it, and will be told so where it opens a file. */
function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** What every user of this host can do with a file that holds a secret, and the mend; undefined: nothing. */
export function exposureOfSecret(path: string): string | undefined {
  try {
    const real = realpathSync(path);
    const { mode } = statSync(real);
    const can = (mode & othersWrite) !== 0 ? "write" : (mode & othersRead) !== 0 ? "read" : undefined;
    if (can === undefined || !above(real).every(({ mode: m }) => (m & othersEnter) !== 0)) return undefined;
    return `every user of this host can ${can} ${path}: chmod o-rw ${path}`;
  } catch {
    return undefined;
  }
}

/** The directories that lead to it, from the nearest up. */
function above(path: string): { readonly path: string; readonly mode: number }[] {
  const parent = dirname(path);
  const here = { path: parent, mode: statSync(parent).mode };
  return parent === dirname(parent) ? [here] : [here, ...above(parent)];
}
