/**
 * `sluice backup`: what cannot be had again of DATA_DIR, copied into a directory of its own, also while a gateway runs.
 *
 * The spool is copied first. A local store that is ahead of its spool is recognised at the next start; one that is behind it would lack
 * what the spool let go of between the two. VACUUM INTO makes of each file the state of one moment, without its free pages.
 * All of it is made in a directory within, whose name also keeps a second backup out, and comes out of it when it is whole: what a kill or a
 * power cut leaves is no backup. What fails leaves nothing.
 * Rejected alternative: to copy the files and their write-ahead logs, which a gateway changes meanwhile.
 */
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { explain } from "../core/log/log.ts";
import { isThere } from "../core/file/owner.ts";
import { size } from "../core/text/readable.ts";
import { flush } from "../core/file/whole-file.ts";
import { withDatabase } from "../spool/tools/spool-file.ts";
import { command, json } from "./command.ts";
import { configured } from "./configuration.ts";
import { jsonLine, sayWhere, table } from "./report.ts";

/** In the order in which they are copied. */
const databases = ["spool.db", "local.db"];
/** Who it is, and what only it knows of what Kafka and a broker have of it. */
const names = [...databases, "gateway-id", "kafka-position.json", "mqtt-session.json"];

export const backup = command({
  name: "backup",
  summary:
    "Copy the spool, the local store and the gateway's name into a new directory, also while a gateway runs",
  arguments: { directory: "Where to; it is made, or is empty" },
  options: { json },
  run(context, { args, options }) {
    const { dataDir } = configured(context).config.general;
    sayWhere(context, dataDir);
    const there = names.filter((name) => isThere(join(dataDir, name)));
    if (!there.some((name) => databases.includes(name)))
      throw new Error(`there is neither a spool nor a local store in ${dataDir}: see DATA_DIR`);
    const to = resolve(args.directory);
    const copied = inNewDirectory(to, (unfinished) => {
      if (`${realpathSync(to)}/`.startsWith(`${realpathSync(dataDir)}/`))
        throw new Error(`${to} is within ${dataDir}, and would be lost with it: give a directory elsewhere`);
      return there.map((name) => ({ name, bytes: copyOne(join(dataDir, name), join(unfinished, name)) }));
    });
    const rows = copied.map(({ name, bytes }) => [name, size(bytes)]);
    context.stdout(
      options.json ? jsonLine({ directory: to, files: copied }) : table([["file", "size"], ...rows]),
    );
    return Promise.resolve(0);
  },
});

/** Tokens' hashes and what devices said are for nobody else to read. @throws if something is in it, or what `fill` throws: nothing is left of it then */
function inNewDirectory<T>(directory: string, fill: (unfinished: string) => T): T {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() === false)
    throw new Error(`${directory} is a file: give a directory, which is new or empty`);
  const made = mkdirSync(directory, { recursive: true, mode: 0o700 });
  const unfinished = claimed(directory);
  try {
    if (readdirSync(directory).length > 1)
      throw new Error(`${directory} is not empty: give a directory for this backup alone`);
    chmodSync(directory, 0o700);
    const filled = fill(unfinished);
    for (const name of readdirSync(unfinished)) renameSync(join(unfinished, name), join(directory, name));
    rmdirSync(unfinished);
    flush(directory);
    if (made !== undefined) flushAbove(directory, made);
    return filled;
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    if (made !== undefined) removeEmpty(directory, made);
    throw error;
  }
}

/** The directories that were made, up to the first, unless somebody has put something into one since, such as another backup. */
function removeEmpty(directory: string, first: string): void {
  try {
    rmdirSync(directory);
  } catch {
    return;
  }
  if (directory !== first) removeEmpty(dirname(directory), first);
}

/** @returns a directory within, which nobody else has. @throws if another backup does */
function claimed(directory: string): string {
  const unfinished = join(directory, "unfinished.part");
  try {
    mkdirSync(unfinished);
    return unfinished;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
    const remedy = `wait for it, or if it was killed remove ${unfinished}`;
    throw new Error(`another backup into ${directory} is not finished: ${remedy}`, { cause });
  }
}

/** The names of the directories that were made, down from the first. */
function flushAbove(directory: string, first: string): void {
  flush(dirname(directory));
  if (directory !== first) flushAbove(dirname(directory), first);
}

/** @returns its bytes. @throws if it cannot be read whole, or there is no room */
function copyOne(from: string, to: string): number {
  try {
    if (databases.some((name) => from.endsWith(`/${name}`)))
      withDatabase(from, (db) => db.run("VACUUM INTO ?", [to]));
    else copyFileSync(from, to);
    chmodSync(to, 0o600);
    flush(to);
    return statSync(to).size;
  } catch (cause) {
    throw new Error(`${from} was not copied (${explain(cause)}): the backup is not whole`, { cause });
  }
}
