/** What the commands share that want a spool for themselves. */
import { number } from "../../core/text/readable.ts";
import { SpoolInUse } from "../../spool/lock.ts";
import { spoolIn } from "../../spool/tools/spool-file.ts";
import type { Context } from "../command.ts";
import { configured } from "../configuration.ts";
import { sayWhere } from "../report.ts";

/** Of a progress: up to which seq was read. */
export const lastRead = (seq: number) => `${number(seq)} is the last entry read`;

/** Runs `work` with the spool to itself; if a gateway has the spool, says so in the words of this command. */
export async function alone(
  context: Context,
  work: (dataDir: string) => number | Promise<number>,
): Promise<number> {
  const { config } = configured(context);
  sayWhere(context, `the spool, ${spoolIn(config.general.dataDir)}`);
  try {
    return await work(config.general.dataDir);
  } catch (error) {
    if (!(error instanceof SpoolInUse)) throw error;
    context.stderr(
      `error: a gateway, or another such command, has the spool in ${config.general.dataDir} open: stop it first, or wait (\`sluice spool status\` and \`sluice backup\` work while it runs)\n`,
    );
    return 1;
  }
}
