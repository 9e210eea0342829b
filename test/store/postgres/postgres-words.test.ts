/** What an operator is told of errors that no PostgreSQL installed here can be made to say: transaction_timeout came with 17. */
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
