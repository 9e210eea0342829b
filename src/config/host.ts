/** What reading a configuration asks of the host it runs on. A parameter, so that a test has no disk and no host name. */
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";

export interface Host {
  name(): string;
  /** Whether the directory can be written, or made. Changes nothing. */
  canWrite(directory: string): boolean;
  /** @throws where it cannot be read */
  readText(path: string): string;
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
};
