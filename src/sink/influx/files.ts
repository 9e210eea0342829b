/**
 * Files of line protocol as a target, for sites without a network: `<database>.lp` is appended to and fsynced; at a
 * size or an age it is closed and becomes `<database>-<time>.lp.gz`, which `influx write`, `influxdb3 write` and curl load.
 *
 * Rejected alternative: to compress while writing. After a crash a plain file is repaired by cutting its torn last line, whose
 * entry comes again; a torn gzip stream cannot be. Lines that come twice that way are identical, which is harmless.
 */
import {
  accessSync,
  closeSync,
  constants,
  createReadStream,
  createWriteStream,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Clock, Timer } from "../../core/clock.ts";
import { explain, type Log } from "../../core/log/log.ts";
import { Outage } from "../../core/outage.ts";
import { flush } from "../../core/file/whole-file.ts";
import type { Target } from "./target.ts";

export interface FilesOptions {
  readonly directory: string;
  readonly bytesMax: number;
  readonly ageSeconds: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** As `rotate` names it. A disk that was full kept it from being compressed: named anew at each start, it would get a name too long for any file. */
const closedName = /-\d{8}T\d{9}Z-\d+\.lp$/;

const halfPacked = ".lp.gz.tmp";

export function createFiles({ directory, bytesMax, ageSeconds, clock, log }: FilesOptions): Target {
  /** Databases with an open file, each with the timer that closes it by its age. */
  const open = new Map<string, Timer>();
  /** The size before a write that failed: a disk that then takes none at all keeps half of a line until there is another try. */
  const tornAt = new Map<string, number>();
  let packing = Promise.resolve();
  let serial = 0;
  let bytesSent = 0;
  /** Names of an earlier process that are still to be looked at; undefined before the first look. */
  let left: string[] | undefined;

  const whyNot = `cannot write lines to ${directory}: see that it is a directory, can be written and has room`;

  const currentOf = (database: string) => join(directory, `${database}.lp`);

  /** Closes what an earlier process left open, so that no file is continued by another process. One after the other: what fails goes on there. */
  function recover() {
    if (left === undefined) {
      mkdirSync(directory, { recursive: true });
      const found = readdirSync(directory);
      for (const name of found) if (name.endsWith(halfPacked)) rmSync(join(directory, name));
      left = found;
    }
    for (let [name] = left; name !== undefined; left.shift(), [name] = left) takeOver(name);
  }

  function takeOver(name: string) {
    const path = join(directory, name);
    if (!name.endsWith(".lp") || !existsSync(path)) return;
    if (closedName.test(name)) packNext(path);
    // A full disk leaves an empty one at each start.
    else if (cutTornLine(path) > 0) rotate(name.slice(0, -".lp".length));
  }

  function rotate(database: string) {
    open.get(database)?.cancel();
    open.delete(database);
    const stamp = new Date(clock.wallMs()).toISOString().replace(/[-:.]/g, "");
    // A clock that starts at the same time at each boot gives the same stamp twice.
    let closed: string;
    do closed = join(directory, `${database}-${stamp}-${(serial += 1)}.lp`);
    while (existsSync(closed) || existsSync(`${closed}.gz`));
    renameSync(currentOf(database), closed);
    packNext(closed);
  }

  function packNext(closed: string) {
    packing = packing
      .then(() => pack(closed))
      .catch((error: unknown) => {
        log.warn(
          { path: closed, error: explain(error) },
          "cannot compress a file of lines; it stays as it is",
        );
      });
  }

  /** As `rotate`, if nobody waits for it: what cannot be closed now is closed after the next start. */
  function tryRotate(database: string) {
    try {
      rotate(database);
    } catch (error) {
      log.warn({ path: currentOf(database), error: explain(error) }, "cannot close a file of lines");
    }
  }

  function append(database: string, body: Uint8Array) {
    const fd = openSync(currentOf(database), "a");
    try {
      const before = Math.min(fstatSync(fd).size, tornAt.get(database) ?? Number.POSITIVE_INFINITY);
      try {
        if (tornAt.has(database)) ftruncateSync(fd, before);
        for (let at = 0; at < body.length;) at += writeSync(fd, body, at);
        fsyncSync(fd);
      } catch (error) {
        tornAt.set(database, before);
        ftruncateSync(fd, before);
        throw error;
      }
      tornAt.delete(database);
      return before + body.length;
    } finally {
      closeSync(fd);
    }
  }

  function post(database: string, body: Uint8Array) {
    const bytes = new Uint8Array(body.length + 1);
    bytes.set(body);
    bytes[body.length] = 10;
    recover();
    const size = append(database, bytes);
    bytesSent += bytes.length;
    if (!open.has(database)) {
      open.set(
        database,
        clock.after(ageSeconds * 1000, () => tryRotate(database)),
      );
      flush(directory);
    }
    if (size >= bytesMax) rotate(database);
  }

  return {
    rules: () => Promise.resolve({ kind: "file", proven: false }),
    async post(database, body) {
      try {
        post(database, body);
        return { kind: "stored" };
      } catch (cause) {
        throw new Outage(whyNot, { alarm: true, retryAfterMs: 5_000, cause });
      }
    },
    async probe() {
      try {
        accessSync(existingOf(directory), constants.W_OK | constants.X_OK);
      } catch (cause) {
        throw new Error(whyNot, { cause });
      }
      return `files of line protocol in ${directory}`;
    },
    place: directory,
    label: `file ${directory}`,
    get bytesSent() {
      return bytesSent;
    },
    async close() {
      for (const database of [...open.keys()]) tryRotate(database);
      await packing;
    },
  };
}

/** It, or what it will be made in: made by a check that root runs, it would be root's. */
const existingOf = (path: string): string => (existsSync(path) ? path : existingOf(dirname(path)));

/** From its end, by pieces: one that somebody else put there may be larger than memory. @returns the bytes that are left */
function cutTornLine(path: string): number {
  const fd = openSync(path, "r+");
  try {
    const piece = Buffer.alloc(1_048_576);
    let bytes = fstatSync(fd).size;
    for (let lineFeed = -1; bytes > 0 && lineFeed < 0;) {
      const from = Math.max(0, bytes - piece.length);
      lineFeed = piece.subarray(0, readSync(fd, piece, 0, bytes - from, from)).lastIndexOf("\n");
      bytes = from + lineFeed + 1;
    }
    ftruncateSync(fd, bytes);
    return bytes;
  } finally {
    closeSync(fd);
  }
}

/** Compresses `x.lp` to `x.lp.gz`, which appears whole or not at all: half of one would keep a full disk full. */
async function pack(path: string) {
  const packed = `${path}.gz.tmp`;
  try {
    await pipeline(createReadStream(path), createGzip(), createWriteStream(packed));
    flush(packed);
    renameSync(packed, `${path}.gz`);
  } catch (error) {
    rmSync(packed, { force: true });
    throw error;
  }
  rmSync(path);
}
