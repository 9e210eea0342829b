/**
 * `sluice spool …`: inspect the spool's file, verify it, repair it, export what it holds. Only `status` works while a
 * gateway runs; the others refuse to.
 */
import { balanceBooks, told } from "../../intake/books.ts";
import { compactSpool } from "../../spool/tools/compact.ts";
import { spoolIn } from "../../spool/tools/spool-file.ts";
import { repairSpool } from "../../spool/tools/repair.ts";
import { spoolStatus } from "../../spool/tools/status.ts";
import { verifySpool } from "../../spool/tools/verify.ts";
import { command, type CommandGroup, json } from "../command.ts";
import { configured } from "../configuration.ts";
import { alone, lastRead } from "./alone.ts";
import { exportEntries } from "./export.ts";
import { withProgress } from "../progress.ts";
import { inSnakeCase, jsonLine, sayWhere } from "../report.ts";
import { repairedText, room, statusText, verifiedText } from "./print-spool.ts";
import { size } from "../../core/text/readable.ts";

const status = command({
  name: "status",
  summary: "Show what the spool holds and how far each sink has come; also while a gateway runs",
  options: { json },
  run(context, { options }) {
    const { config } = configured(context);
    sayWhere(context, `the spool, ${spoolIn(config.general.dataDir)}`);
    const found = spoolStatus(config.general.dataDir);
    const bounds = config.spool;
    context.stdout(
      options.json
        ? jsonLine(inSnakeCase({ ...found, bytesMax: bounds.bytesMax, ...room(found, bounds) }))
        : statusText(found, bounds, Date.now()),
    );
    return Promise.resolve(0);
  },
});

const verify = command({
  name: "verify",
  summary: "Read every group and checksum; exit code 1 if something is damaged",
  options: { json },
  run: (context, { options }) =>
    alone(context, async (dataDir) => {
      const found = await withProgress(context, lastRead, (reading) =>
        verifySpool({ dataDir, told, reading }),
      );
      context.stdout(options.json ? jsonLine(inSnakeCase(found)) : verifiedText(found));
      return found.sound ? 0 : 1;
    }),
});

const repair = command({
  name: "repair",
  summary:
    "Copy everything that can be read into a sound file, and say what could not be kept; the damaged file stays",
  options: { json },
  run: (context, { options }) =>
    alone(context, async (dataDir) => {
      const done = await withProgress(context, lastRead, (reading) =>
        repairSpool({ dataDir, told, balanceBooks, nowMs: Date.now(), reading }),
      );
      context.stdout(options.json ? jsonLine(inSnakeCase(done)) : repairedText(done));
      return 0;
    }),
});

const compact = command({
  name: "compact",
  summary: "Give the file's free pages back to the disk",
  options: { json },
  run: (context, { options }) =>
    alone(context, (dataDir) => {
      const measure = () => spoolStatus(dataDir).files.reduce((sum, { bytes }) => sum + bytes, 0);
      const before = measure();
      if (context.isTerminal === true) context.stderr(`writing ${size(before)} anew …\n`);
      compactSpool(dataDir);
      const after = measure();
      context.stdout(
        options.json
          ? jsonLine({ bytes_before: before, bytes_after: after })
          : `${size(before)} before, ${size(after)} now\n`,
      );
      return 0;
    }),
});

export const spool: CommandGroup = {
  name: "spool",
  summary: "Inspect the spool, verify and repair it, export what it holds",
  commands: [status, verify, repair, exportEntries, compact],
};
