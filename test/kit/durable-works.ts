/**
 * A process of its own that does what is on the disk once it returns, so that strace can be put in front of it: its arguments are the
 * name of the work, a directory for what comes before, and one for the work itself, which `begun` and `done` beside it enclose.
 */
import { Database } from "bun:sqlite";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { stageProgram } from "../../src/cli/service/host.ts";
import { writeWhole } from "../../src/core/file/whole-file.ts";
import { event, events } from "../contract/entries.ts";
import { simulatedClock } from "./clock.ts";
import { runCommand } from "./command.ts";
import { openInflux } from "./influxsink.ts";
import { emptyRecord, spoolKit } from "./spool.ts";

type Work = () => unknown;
/** Makes ready, and returns the work. */
const makers: Readonly<Record<string, (directory: string) => Work>> = {
  append: (dataDir) => {
    const spool = spoolKit().spool({ dataDir });
    return () => spool.append(events(1, 50), emptyRecord);
  },
  "dead letter": (dataDir) => {
    const { deadLetters } = spoolKit().spool({ dataDir });
    return () => deadLetters.put("influx", "epoch", event(1), "why");
  },
  "device added": (dataDir) => () => sluice(dataDir, "devices", "add", "acme", "d1", "--site", "s"),
  lines: (directory) => {
    const { deliver } = openInflux({ url: pathToFileURL(directory).href }, simulatedClock());
    return () => deliver(events(1, 3));
  },
  "lines that are packed": (directory) => {
    const settings = { url: pathToFileURL(directory).href, fileBytesMax: 1_024 };
    const { sink, deliver } = openInflux(settings, simulatedClock());
    return async () => {
      await deliver(events(1, 100));
      await sink.close();
    };
  },
  "whole file": (directory) => () => writeWhole(join(directory, "gateway-id"), "hall-7\n"),
  program: (directory) => () => stageProgram(import.meta.path, join(directory, "sluice")),
  backup: (dataDir) => {
    filled(dataDir);
    writeFileSync(join(dataDir, "gateway-id"), "hall-7\n");
    return () => sluice(dataDir, "backup", join(dirname(dataDir), "copy", "of-it"));
  },
  repair: (dataDir) => {
    damaged(dataDir);
    return () => sluice(dataDir, "spool", "repair");
  },
  export: (dataDir) => {
    filled(dataDir);
    return () => sluice(dataDir, "spool", "export", "--output", join(dataDir, "entries.ndjson"));
  },
};

/** A spool that is closed: else its end, whenever the engine finds that nobody has it, would be a part of the work. */
function filled(dataDir: string): void {
  const spool = spoolKit().spool({ dataDir });
  spool.append(events(1, 50), emptyRecord);
  spool.close();
}

/** As a disk does that has lost a bit. */
function damaged(dataDir: string): void {
  filled(dataDir);
  const db = new Database(join(dataDir, "spool.db"));
  db.run("UPDATE groups SET body = zeroblob(length(body))");
  db.close();
}

async function sluice(dataDir: string, ...words: string[]): Promise<void> {
  const { code, err } = await runCommand(words, { env: { DATA_DIR: dataDir, GATEWAY_ID: "g" } });
  if (code !== 0) throw new Error(err);
}

/** What can be done. */
export const durableWorks: readonly string[] = Object.keys(makers);

if (import.meta.main) {
  const [name = "", directory = ""] = process.argv.slice(2);
  mkdirSync(directory);
  const work = makers[name]?.(directory);
  mkdirSync(join(directory, "../begun"));
  await work?.();
  mkdirSync(join(directory, "../done"));
  process.exit(work === undefined ? 2 : 0);
}
