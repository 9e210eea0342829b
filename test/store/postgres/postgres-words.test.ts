/** What an operator is told of errors that a PostgreSQL installed here cannot be made to say in short: transaction_timeout came with 17, and numbers run out after two thousand million. */
import { expect, test } from "bun:test";
import postgres from "postgres";
import { explain } from "../../../src/core/log/log.ts";
import { asOutage } from "../../../src/store/postgres/postgres-words.ts";

/** The types of postgres.js have no constructor. */
const PostgresError = postgres.PostgresError as unknown as new (said: object) => Error;

test("a role's transaction_timeout is an alarm that names it", () => {
  const message = "terminating connection due to transaction timeout";
  const told = asOutage(new PostgresError({ severity: "FATAL", code: "25P04", message }));
  expect(told).toMatchObject({ alarm: true });
  expect(explain(told)).toContain("a longer transaction_timeout");
});

test("that no transaction number is left is an alarm with its cure, and says nothing of a table", () => {
  const message = 'database is not accepting commands to avoid wraparound data loss in database "d"';
  const said = { severity: "ERROR", code: "54000", message };
  const told = asOutage(new PostgresError({ ...said, routine: "GetNewTransactionId" }));
  expect(told).toMatchObject({ alarm: true });
  expect(explain(told)).toContain("vacuumdb --all --freeze");
  expect(explain(asOutage(new PostgresError({ ...said, routine: "index_form_tuple" })))).not.toContain(
    "vacuumdb",
  );
});
