/**
 * What reading a configuration needs from the host. It is a parameter, so that a test has no disk and no host name.
 */
import { accessSync, constants, existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { isUtf8 } from "node:buffer";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { type Exposure, exposureOf, exposureOfSecret } from "./exposure.ts";

export interface Host {
  name(): string;
  /** Whether the directory can be written, or created. Changes nothing. */
  canWrite(directory: string): boolean;
  /** @throws if it cannot be read, or is not UTF-8 */
  readText(path: string): string;
  /** What is wrong with the permissions of the data directory. */
  exposureOf(dataDir: string): Exposure;
  /** What every user can do with that file; undefined if nothing. */
  exposureOfSecret(path: string): string | undefined;
}

export const thisHost: Host = {
  name: () => hostname(),
  canWrite(directory) {
    try {
      accessSync(existsSync(directory) ? directory : dirname(directory), constants.W_OK | constants.X_OK);
      return true;
    } catch {
      return false;
    }
  },
  readText(path) {
    refusePipe(path);
    const bytes = readFileSync(path);
    if (!isUtf8(bytes)) throw new Error(`${placeOfFault(bytes)} is not UTF-8`);
    return bytes.toString();
  },
  exposureOf,
  exposureOfSecret,
};

/** @throws if it is one: the next time nobody would write into it, and the whole gateway would wait. What the shell makes of <(command) ends at once. */
export function refusePipe(path: string): void {
  if (statSync(path).isFIFO() && !path.startsWith("/dev/"))
    throw new Error("it is a named pipe, and is read again while the gateway runs: give a file");
}

/** Where the first bytes stand that are no UTF-8, which would be read as something else than was written. */
function placeOfFault(bytes: Buffer): string {
  const read = Buffer.from(bytes.toString());
  const at = bytes.findIndex((byte, i) => read[i] !== byte);
  const before = bytes.toString("utf8", 0, at);
  return `line ${before.split("\n").length}, column ${before.length - before.lastIndexOf("\n")}`;
}

/** Creates the directory if it does not exist yet. @throws an error that names the setting */
export function makeDataDir(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o750 });
  } catch (cause) {
    throw new Error(
      `DATA_DIR=${dataDir} cannot be created: see who owns the directory above, or set another`,
      {
        cause,
      },
    );
  }
}
