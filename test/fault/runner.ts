/**
 * Runs faults one after the other on one PostgreSQL server, and on a new one after a fault that may have ruined it.
 */
import { startPostgres, type PostgresServer } from "../kit/postgres.ts";
import { runFault, type Fault, type Row } from "./fault.ts";
import { crash } from "./postgres-server.ts";

export interface Runner {
  run(fault: Fault, times: number, seed: number): Promise<Row>;
  close(): Promise<void>;
}

export function createRunner(): Runner {
  let server: PostgresServer | undefined;

  async function close(): Promise<void> {
    const old = server;
    server = undefined;
    if (old === undefined) return;
    // Not stopped in order: it may have stopped backends, or be down already.
    await crash(old);
    await old.stop();
  }

  return {
    async run(fault, times, seed) {
      server ??= await startPostgres({ fsync: true });
      const row = await runFault(server, fault, times, seed);
      if (row.problems.length > 0) await close();
      return row;
    },
    close,
  };
}
