/** Calls what is named as PostgreSQL in every way that the gateway does, a few times. Exit code 1 if anything was thrown where nobody listens. */
import { copyData } from "../../src/store/postgres/copy.ts";
import { rowsOf } from "./copy.ts";
import { openClient, openPostgres, send } from "../../src/store/postgres/postgres-client.ts";

for (const event of ["uncaughtException", "unhandledRejection"] as const) {
  process.on(event, (error: unknown) => {
    process.stderr.write(`${event}: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exit(1);
  });
}

const copyOf = (rows: number) => ({
  statements: ["copy t (x) from stdin", "commit"],
  copies: [
    copyData(
      Array.from({ length: rows }),
      rowsOf(() => "x"),
    ),
  ],
});

const options = { url: process.argv[2] ?? "", poolMax: 2, timeoutMs: 150 };
const db = openPostgres(options);
const listening = openClient(options, { max: 1 });
void listening.listen("channel", () => {}).catch(() => {});
for (let i = 0; i < 3; i++) {
  await Promise.allSettled([
    db.query("asking", (sql) => sql`select ${"x"}::text as x`),
    db.transaction("copying", (tx) => send(tx, copyOf(1))),
    db.request("copying at once", { ...copyOf(500_000), statements: ["copy t (x) from stdin"] }),
    db.transaction("copying much", (tx) => send(tx, copyOf(500_000))),
  ]);
}
await Promise.race([db.close(), Bun.sleep(500)]);
await Promise.race([listening.end({ timeout: 0.1 }), Bun.sleep(500)]);
// A late throw counts too.
await Bun.sleep(100);
process.exit(0);
