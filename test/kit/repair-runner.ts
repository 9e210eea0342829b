/** A repair as the command does it; started by itself, a process that repairs the spool in `DATA_DIR`, its one argument. */
import { balanceBooks, told } from "../../src/intake/books.ts";
import { repairSpool } from "../../src/spool/tools/repair.ts";

export function repair(dataDir: string, nowMs = Date.now()) {
  return repairSpool({ dataDir, told, balanceBooks, nowMs });
}

if (import.meta.main) repair(process.argv[2] ?? "");
