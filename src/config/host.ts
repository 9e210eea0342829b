/** What reading a configuration asks of the host it runs on. A parameter, so that a test has no disk and no host name. */
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { type Exposure, exposureOf, exposureOfSecret } from "./exposure.ts";

export interface Host {
  name(): string;
  /** Whether the directory can be written, or made. Changes nothing. */
  canWrite(directory: string): boolean;
  /** @throws where it cannot be read */
  readText(path: string): string;
  /** What is wrong with the rights of the data directory. */
  exposureOf(dataDir: string): Exposure;
  /** What everybody can do with that file; undefined: nothing. */
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
  readText: (path) => readFileSync(path, "utf8"),
  exposureOf,
  exposureOfSecret,
};

/** Makes the directory where it is not there yet. @throws in words that name the setting */
export function makeDataDir(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o750 });
  } catch (cause) {
    throw new Error(`DATA_DIR=${dataDir} cannot be made: see who owns the directory above, or set another`, {
      cause,
    });
  }
}
