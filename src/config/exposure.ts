/**
 * Exposure: who else could read, or replace, the files that the gateway relies on.
 *
 * A mistake is what lets another user put his file in place of ours: nothing that is read back could then be trusted,
 * and a tool that root runs would write where he wants. A warning is what an operator may have intended, or cannot
 * change (a mounted volume that root owns, a secret in a container that runs nothing else).
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
/** In a directory with this bit, only its owner can replace a file. */
const sticky = 0o1000;

const nothing: Exposure = { mistakes: [], warnings: [] };

/** What is wrong with the data directory; nothing if it does not exist yet. */
export function exposureOf(dataDir: string): Exposure {
  const found = directoryAt(dataDir);
  if (found === undefined) return nothing;
  const self = process.geteuid?.() ?? root;
  const { uid, mode } = found;
  const mistakes: string[] = [];
  const warnings: string[] = [];
  // Root may work in anybody's directory; a directory that root owns is as safe as the host.
  if (self !== root && uid !== self && uid !== root)
    mistakes.push(
      `DATA_DIR=${dataDir} belongs to user ${uid} and this is user ${self}: the owner could replace what is in it; run as that user, or as root: chown -R ${self} ${dataDir}`,
    );
  if ((mode & othersWrite) !== 0) {
    const said = `DATA_DIR=${dataDir} can be written by every user of this host`;
    const remedy = closeToOthers(dataDir);
    const mayBeMeant = (mode & sticky) !== 0 || (uid === root && self !== root);
    if (mayBeMeant) warnings.push(`${said}: ${remedy}`);
    else mistakes.push(`${said}, who could replace what is in it: ${remedy}`);
  }
  return {
    mistakes: [...mistakes, ...faultsWithin(dataDir)],
    warnings: [...warnings, ...faultsAbove(dataDir)],
  };
}

const closeToOthers = (path: string, rights = "w") =>
  `chmod o-${rights} ${path} (vfat and exfat keep no permissions: mount those with umask=077)`;

/** undefined if there is none, or if it cannot be examined: that is reported when the directory is used. */
function directoryAt(path: string): Stats | undefined {
  try {
    const found = statSync(path);
    return found.isDirectory() ? found : undefined;
  } catch {
    return undefined;
  }
}

function faultsWithin(dataDir: string): string[] {
  const found = namesIn(dataDir).flatMap((name) => {
    const path = join(dataDir, name);
    const stats = lstatSync(path, { throwIfNoEntry: false });
    return stats === undefined ? [] : [{ path, stats }];
  });
  const links = found.filter(({ stats }) => stats.isSymbolicLink()).map(({ path }) => path);
  const open = found.filter(({ stats }) => stats.isFile() && (stats.mode & othersWrite) !== 0);
  return [
    ...linksFault(dataDir, links),
    ...open.map(
      ({ path }) => `DATA_DIR: ${path} can be written by every user of this host: ${closeToOthers(path)}`,
    ),
  ];
}

/** Many are a sign of a directory that is not ours, such as /etc, where no file is to be moved. */
function linksFault(dataDir: string, [first, ...others]: readonly string[]): string[] {
  if (first === undefined) return [];
  const what = `DATA_DIR: ${first} is a symbolic link, which is not followed`;
  if (others.length === 0)
    return [`${what}: put the file itself there, or set DATA_DIR to the directory that it is in`];
  return [
    `${what}, and so are ${others.length} more: set DATA_DIR to a directory of Sluice's own, or, if ${dataDir} is that, put the files themselves there`,
  ];
}

/** Whoever can write to a directory can replace what is in it. */
function faultsAbove(dataDir: string): string[] {
  return above(realpathSync(dataDir))
    .filter(({ mode }) => (mode & othersWrite) !== 0 && (mode & sticky) === 0)
    .map(
      ({ path }) =>
        `DATA_DIR=${dataDir}: every user of this host can write ${path} above it: chmod o-w ${path}`,
    );
}

/** Empty if the directory cannot be read: another user's tool learns that when it opens a file. */
function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** What every user of this host can do with a file that holds a secret, and the remedy; undefined if nothing. */
export function exposureOfSecret(path: string): string | undefined {
  try {
    const real = realpathSync(path);
    const found = statSync(real);
    // A directory, or /dev/null, in its place is told of elsewhere, and is to stay as it is.
    if (!found.isFile()) return undefined;
    const { mode } = found;
    const can = (mode & othersWrite) !== 0 ? "write" : (mode & othersRead) !== 0 ? "read" : undefined;
    if (can === undefined || !above(real).every(({ mode: m }) => (m & othersEnter) !== 0)) return undefined;
    return `every user of this host can ${can} ${path}: ${closeToOthers(path, "rw")}`;
  } catch {
    return undefined;
  }
}

/** The directories above a path, from the nearest up. */
function above(path: string): { readonly path: string; readonly mode: number }[] {
  const parent = dirname(path);
  const here = { path: parent, mode: statSync(parent).mode };
  return parent === dirname(parent) ? [here] : [here, ...above(parent)];
}
