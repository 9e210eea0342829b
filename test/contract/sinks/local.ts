/** The tables in a SQLite file, in the contract suite. */
import { Database } from "bun:sqlite";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Sink } from "../../../src/core/sink.ts";
import { localSink } from "../../kit/stores.ts";
import type { SinkFixture } from "../fixtures.ts";

export const fixture: SinkFixture = {
  name: "local",
  unavailable: "",
  positions: true,
  outages: false,
  // oxlint-disable-next-line typescript/require-await -- the interface is of those that must wait
  async open() {
    const dir = mkdtempSync(join(tmpdir(), "sluice-local-"));
    const path = join(dir, "local.db");
    const sinks = [localSink({ path })];
    const reader = new Database(path, { readonly: true });
    return {
      sink: sinks[0] as Sink,
      async reopen() {
        const sink = localSink({ path });
        sinks.push(sink);
        return sink;
      },
      async stored() {
        const rows = reader
          .query<{ payload: string }, []>("SELECT payload FROM raw_events WHERE accepted")
          .all();
        return rows.map((row) => JSON.parse(row.payload).metrics.n as number).sort((a, b) => a - b);
      },
      async stop() {
        reader.close();
        for (const sink of sinks) await sink.close();
        rmSync(dir, { recursive: true });
      },
    };
  },
};
