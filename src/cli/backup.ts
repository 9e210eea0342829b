/**
 * `sluice backup`: what cannot be had again of DATA_DIR, copied into a directory of its own, also while a gateway runs.
 *
 * The spool is copied first. A local store that is ahead of its spool is recognised at the next start; one that is behind it would lack
 * what the spool let go of between the two. VACUUM INTO makes of each file the state of one moment, without its free pages.
 * Nothing has its name until all of it is there: what a kill or a power cut leaves is no backup. What fails leaves nothing.
 * Rejected alternative: to copy the files and their write-ahead logs, which a gateway changes meanwhile.
 */
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
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
    const copied = inNewDirectory(to, () => {
      if (`${realpathSync(to)}/`.startsWith(`${realpathSync(dataDir)}/`))
        throw new Error(`${to} is within ${dataDir}, and would be lost with it: give a directory elsewhere`);
      return copyAll(there, dataDir, to);
    });
    const rows = copied.map(({ name, bytes }) => [name, size(bytes)]);
    context.stdout(
      options.json ? jsonLine({ directory: to, files: copied }) : table([["file", "size"], ...rows]),
    );
    return Promise.resolve(0);
  },
});

/** Tokens' hashes and what devices said are for nobody else to read. @throws if something is in it, or what `fill` throws: nothing is left of it then */
function inNewDirectory<T>(directory: string, fill: () => T): T {
  const made = mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (readdirSync(directory).length > 0)
    throw new Error(`${directory} is not empty: give a directory for this backup alone`);
  try {
    chmodSync(directory, 0o700);
    const filled = fill();
    flush(directory);
    if (made !== undefined) flushAbove(directory, made);
    return filled;
  } catch (error) {
    const left = made === undefined ? readdirSync(directory).map((name) => join(directory, name)) : [made];
    for (const path of left) rmSync(path, { recursive: true, force: true });
    throw error;
  }
}

/** The names of the directories that were made, down from the first. */
function flushAbove(directory: string, first: string): void {
  flush(dirname(directory));
  if (directory !== first) flushAbove(dirname(directory), first);
}

function copyAll(there: readonly string[], from: string, to: string) {
  const part = (name: string) => join(to, `${name}.part`);
  const copied = there.map((name) => ({ name, bytes: copyOne(join(from, name), part(name)) }));
  for (const { name } of copied) renameSync(part(name), join(to, name));
  return copied;
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
