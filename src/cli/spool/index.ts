/**
 * `sluice spool …`: inspect the spool's file, verify it, repair it, export what it holds. Only `status` works while a
 * gateway runs; the others refuse to.
 */
import { closeSync, fsyncSync, openSync, rmSync } from "node:fs";
import { z } from "zod";
import { Books, balanceBooks } from "../../intake/books.ts";
import type { Entry } from "../../core/entry.ts";
import { compactSpool } from "../../spool/tools/compact.ts";
import { exportSpool } from "../../spool/tools/export.ts";
import { spoolIn } from "../../spool/tools/spool-file.ts";
import { SpoolInUse } from "../../spool/lock.ts";
import { repairSpool } from "../../spool/tools/repair.ts";
import { spoolStatus } from "../../spool/tools/status.ts";
import { verifySpool } from "../../spool/tools/verify.ts";
import { command, type CommandGroup, type Context, json, string } from "../command.ts";
import { configured } from "../configuration.ts";
import { writeAll } from "../output.ts";
import type { Lost } from "../../spool/tools/salvage.ts";
import { withProgress } from "../progress.ts";
import { inSnakeCase, jsonLine, sayWhere } from "../report.ts";
import { lineProtocol, ndjson } from "./export-formats.ts";
import { lostText, repairedText, room, statusText, verifiedText } from "./print-spool.ts";
import { counted, countedEntries, size } from "../../core/readable.ts";

const lastRead = "is the last entry read";
const spooled = (books: ReadonlyMap<string, number>) => new Books(books).spooled;

const status = command({
  name: "status",
  summary: "Show what the spool holds and how far each sink has come; also while a gateway runs",
  options: { json },
  run(context, { options }) {
    const { config } = configured(context);
    sayWhere(context, `the spool, ${spoolIn(config.general.dataDir)}`);
    const found = spoolStatus(config.general.dataDir);
    const { bytesMax } = config.spool;
    context.stdout(
      options.json
        ? jsonLine(inSnakeCase({ ...found, bytesMax, ...room(found, bytesMax) }))
        : statusText(found, bytesMax, Date.now()),
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
        verifySpool({ dataDir, spooled, reading }),
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
        repairSpool({ dataDir, spooled, balanceBooks, nowMs: Date.now(), reading }),
      );
      context.stdout(options.json ? jsonLine(inSnakeCase(done)) : repairedText(done));
      return 0;
    }),
});

const carry = command({
  name: "export",
  summary: "Print the entries; the spool stays unchanged",
  options: {
    sink: string("--sink <name>", "Only what this sink may not have settled"),
    tenant: string("--tenant <id>", "Only of this tenant; in line protocol, its lines have no tenant tag"),
    format: {
      flags: "--format <name>",
      help: "ndjson (default) or lp, line protocol of the events that InfluxDB would get",
      schema: z.enum(["ndjson", "lp"], "must be ndjson or lp").default("ndjson"),
    },
    output: string(
      "--output <file>",
      "Write to this file, not to standard output; an existing file is not overwritten",
    ),
  },
  run: (context, { options }) =>
    alone(context, async (dataDir) => {
      const { config } = configured(context);
      const format = options.format === "lp" ? lineProtocol(config, options.tenant === undefined) : ndjson;
      const out = openOutput(context, options.output);
      const isShown = options.output !== undefined || context.isOutputTerminal !== true;
      const where = { ...context, isTerminal: context.isTerminal === true && isShown };
      let written = 0;
      let missed = 0;
      const take = (entries: readonly Entry[]) => {
        const { tenant } = options;
        const wanted = tenant === undefined ? entries : entries.filter(({ tenantId }) => tenantId === tenant);
        const { lines, impossible } = format(wanted);
        for (const { seq, why } of impossible) context.stderr(`seq ${seq} has no line: ${why}\n`);
        written += lines.length;
        missed += impossible.length;
        out.write(lines.map((line) => `${line}\n`).join(""));
      };
      try {
        const miss = (lost: Lost) => {
          missed += lost.to - lost.from + 1;
          context.stderr(`not exported: ${lostText(lost)}\n`);
        };
        const { sink } = options;
        await withProgress(where, lastRead, (reading) =>
          exportSpool({ dataDir, ...(sink !== undefined && { sink }), take, reading, miss }),
        );
        out.close();
      } catch (error) {
        out.abandon();
        throw error;
      }
      context.stderr(`${counted(written, "line")}, ${countedEntries(missed)} that could not be exported\n`);
      return missed === 0 ? 0 : 1;
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
  commands: [status, verify, repair, carry, compact],
};

/** Runs `work` with the spool to itself; if a gateway has the spool, says so in the words of this command. */
async function alone(context: Context, work: (dataDir: string) => number | Promise<number>): Promise<number> {
  const { config } = configured(context);
  sayWhere(context, `the spool, ${spoolIn(config.general.dataDir)}`);
  try {
    return await work(config.general.dataDir);
  } catch (error) {
    if (!(error instanceof SpoolInUse)) throw error;
    context.stderr(
      `error: a gateway has the spool in ${config.general.dataDir} open: stop it first (only \`sluice spool status\` works while it runs)\n`,
    );
    return 1;
  }
}

interface Output {
  write(text: string): void;
  /** Makes durable what was written. */
  close(): void;
  /** Removes a file that is of no use. */
  abandon(): void;
}

/** Writes text to standard output, or to a new file, which is created only once the spool could be read. */
function openOutput(context: Context, path: string | undefined): Output {
  if (path === undefined) return { write: context.exact, close() {}, abandon() {} };
  let fd: number | undefined;
  const file = () => (fd ??= create(path));
  return {
    write: (text) => writeAll(file(), text, path),
    close() {
      fsyncSync(file());
      closeSync(file());
    },
    abandon() {
      if (fd !== undefined) rmSync(path, { force: true });
    },
  };
}

function create(path: string): number {
  try {
    return openSync(path, "wx", 0o640);
  } catch (cause) {
    throw new Error(`--output ${path} cannot be created`, { cause });
  }
}
