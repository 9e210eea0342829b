/** `sluice spool export`: the entries as lines, to standard output or into a new file. */
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import type { Entry } from "../../core/entry.ts";
import { flush } from "../../core/file/whole-file.ts";
import { counted, countedEntries } from "../../core/text/readable.ts";
import { exportSpool } from "../../spool/tools/export.ts";
import type { Lost } from "../../spool/tools/salvage.ts";
import { command, type Context, option, string } from "../command.ts";
import { configured } from "../configuration.ts";
import { writeAll } from "../output.ts";
import { withProgress } from "../progress.ts";
import { alone, lastRead } from "./alone.ts";
import { type Format, lineProtocol, ndjson } from "./export-formats.ts";
import { lostText } from "./print-spool.ts";

export const exportEntries = command({
  name: "export",
  summary: "Print the entries; the spool stays unchanged",
  options: {
    sink: string("--sink <name>", "Only what this sink may not have settled"),
    tenant: string("--tenant <id>", "Only of this tenant; in line protocol, its lines have no tenant tag"),
    format: option(
      "--format <name>",
      "ndjson (default) or lp, line protocol of the events that InfluxDB would get",
      () => z.enum(["ndjson", "lp"], "must be ndjson or lp").default("ndjson"),
    ),
    output: string(
      "--output <file>",
      "Write to this file, not to standard output; an existing file is not overwritten",
    ),
  },
  run: (context, { options: { sink, tenant, format: name, output } }) =>
    alone(context, async (dataDir) => {
      const { config } = configured(context);
      const format = name === "lp" ? lineProtocol(config, tenant === undefined) : ndjson;
      const out = openOutput(context, output);
      // The entries themselves on the screen are progress enough.
      const isShown = output === undefined && context.isOutputTerminal === true;
      const where = { ...context, isTerminal: context.isTerminal === true && !isShown };
      const { take, miss, counts } = writer(context, { tenant, format, out });
      try {
        await withProgress(where, lastRead, (reading) =>
          exportSpool({ dataDir, ...(sink !== undefined && { sink }), take, reading, miss }),
        );
        out.close();
      } catch (error) {
        out.abandon();
        throw error;
      }
      const { written, missed } = counts;
      context.stderr(`${counted(written, "line")}, ${countedEntries(missed)} that could not be exported\n`);
      return missed === 0 ? 0 : 1;
    }),
});

interface Wanted {
  readonly tenant: string | undefined;
  readonly format: Format;
  readonly out: Output;
}

/** Writes what is wanted of the entries that can be read, and says what cannot be. */
function writer({ stderr }: Pick<Context, "stderr">, { tenant, format, out }: Wanted) {
  const counts = { written: 0, missed: 0 };
  return {
    counts,
    take(entries: readonly Entry[]) {
      const wanted = tenant === undefined ? entries : entries.filter(({ tenantId }) => tenantId === tenant);
      const { lines, impossible } = format(wanted);
      for (const { seq, why } of impossible) stderr(`seq ${seq} has no line: ${why}\n`);
      counts.written += lines.length;
      counts.missed += impossible.length;
      out.write(lines.map((line) => `${line}\n`).join(""));
    },
    miss(lost: Lost) {
      counts.missed += lost.to - lost.from + 1;
      stderr(`not exported: ${lostText(lost)}\n`);
    },
  };
}

interface Output {
  write(text: string): void;
  /** Makes durable what was written. */
  close(): void;
  /** Removes a file that is of no use. */
  abandon(): void;
}

/**
 * Writes text to standard output, or to FILE.part, which is made only once the spool could be read, and gets the name FILE once it is whole:
 * whatever ends this process, a FILE that is there is whole. A FILE.part that is there may be another's, or that of a download.
 */
function openOutput(context: Context, path: string | undefined): Output {
  if (path === undefined) return { write: context.exact, close() {}, abandon() {} };
  const part = `${path}.part`;
  let fd: number | undefined;
  const file = () => (fd ??= create(path, part));
  return {
    write: (text) => writeAll(file(), text, path),
    close() {
      fsyncSync(file());
      closeSync(file());
      renameSync(part, path);
      flush(dirname(path));
    },
    abandon() {
      if (fd !== undefined) rmSync(part, { force: true });
    },
  };
}

function create(path: string, part: string): number {
  if (existsSync(path)) throw new Error(`--output ${path} is there already, and is not overwritten`);
  try {
    return openSync(part, "wx", 0o640);
  } catch (cause) {
    const isThere = (cause as NodeJS.ErrnoException).code === "EEXIST";
    const remedy = isThere ? `: if another export into it was killed, remove ${part}` : "";
    throw new Error(`--output ${path} cannot be created${remedy}`, { cause });
  }
}
