/**
 * The gateway's name, which is also the name of its session at a broker. It is kept in DATA_DIR, beside the data of
 * the gateway that it names: a container that is created anew has another host name, and would leave behind a session
 * that queues for nobody. GATEWAY_ID takes precedence, and is kept in turn.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { explain, type Log } from "../core/log/log.ts";
import { writeWhole } from "../core/file/whole-file.ts";
import type { Host } from "./host.ts";

export const gatewayIdPattern = /^[A-Za-z0-9._-]{1,64}$/;

const fileOf = (dataDir: string) => join(dataDir, "gateway-id");

/** The name kept in that directory; undefined if none is, or if it cannot be read (by another user's tool). */
export function keptGatewayId(dataDir: string, host: Host): string | undefined {
  try {
    const kept = host.readText(fileOf(dataDir)).trim();
    return gatewayIdPattern.test(kept) ? kept : undefined;
  } catch {
    return undefined;
  }
}

/** The host's name as a gateway's name; each character that is not allowed becomes a dash. */
export function nameOfHost(host: Host): string {
  return (
    host
      .name()
      .replaceAll(/[^A-Za-z0-9._-]/g, "-")
      .slice(0, 64) || "gateway"
  );
}

/** Keeps the name. A full disk is no reason not to start: this is tried again at the next start. */
export function keepGatewayId(dataDir: string, gatewayId: string, log: Log): void {
  const path = fileOf(dataDir);
  try {
    const kept = existsSync(path) ? readFileSync(path, "utf8").trim() : undefined;
    if (kept === gatewayId) return;
    if (kept !== undefined && !gatewayIdPattern.test(kept))
      log.warn(
        { path, gateway_id: gatewayId },
        "the gateway's name in DATA_DIR cannot be read, and is lost: if it was another one than now, set GATEWAY_ID to it",
      );
    writeWhole(path, `${gatewayId}\n`);
  } catch (error) {
    log.warn(
      { path, error: explain(error) },
      "the gateway's name cannot be written to DATA_DIR: set GATEWAY_ID if its host name may change",
    );
  }
}
