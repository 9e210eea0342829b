/**
 * The gateway's name, which is also that of its session at a broker: kept in DATA_DIR with what it is the name of. A container that
 * is made anew has another host name, and would leave a session behind that queues for nobody. GATEWAY_ID counts over it,
 * and is kept in turn.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { explain, type Log } from "../core/log.ts";
import { writeWhole } from "../core/whole-file.ts";
import type { Host } from "./host.ts";

export const gatewayIdPattern = /^[A-Za-z0-9._-]{1,64}$/;

const fileOf = (dataDir: string) => join(dataDir, "gateway-id");

/** The name kept in that directory; undefined: none is, or it cannot be read (by a tool of another user). */
export function keptGatewayId(dataDir: string, host: Host): string | undefined {
  try {
    const kept = host.readText(fileOf(dataDir)).trim();
    return gatewayIdPattern.test(kept) ? kept : undefined;
  } catch {
    return undefined;
  }
}

/** A host may have a name that is none for us; what is not allowed becomes a dash. */
export function nameOfHost(host: Host): string {
  return (
    host
      .name()
      .replaceAll(/[^A-Za-z0-9._-]/g, "-")
      .slice(0, 64) || "gateway"
  );
}

/** A disk that is full now is no reason not to start: it is tried again at the next start. */
export function keepGatewayId(dataDir: string, gatewayId: string, log: Log): void {
  const path = fileOf(dataDir);
  try {
    if (existsSync(path) && readFileSync(path, "utf8").trim() === gatewayId) return;
    writeWhole(path, `${gatewayId}\n`);
  } catch (error) {
    log.warn(
      { path, error: explain(error) },
      "the gateway's name cannot be kept: set GATEWAY_ID if its host name may change",
    );
  }
}
