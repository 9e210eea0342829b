/** What an operator is told of errors that a PostgreSQL installed here cannot be made to say in short (transaction_timeout came with 17, and numbers run out after two thousand million), and of those that refuse a connection. */
import { expect, test } from "bun:test";
import postgres from "postgres";
import { explain } from "../../../src/core/log/log.ts";
import { asOutage, isOfStatement } from "../../../src/store/postgres/postgres-words.ts";

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

test("what the server says of one statement may be an entry's fault, what it says of itself is not", () => {
  const of = (said: object) =>
    isOfStatement(new PostgresError({ severity: "ERROR", code: "54000", ...said }));
  expect(of({ routine: "index_form_tuple" })).toBe(true);
  expect(of({ routine: "GetNewTransactionId" })).toBe(false);
  expect(of({ routine: "GetNewMultiXactId" })).toBe(false);
  expect(of({ code: "55P03" })).toBe(false);
  expect(of({ severity: "FATAL" })).toBe(false);
  expect(isOfStatement(new Error("read ECONNRESET"))).toBe(false);
});

test.each([
  ["53300", "too many connections for role", "CONNECTION LIMIT"],
  ["55000", "database is not currently accepting connections", "ALLOW_CONNECTIONS true"],
])("a connection refused with %s has its cure behind it, and a statement has not", (code, message, cure) => {
  const told = (severity: string) => explain(asOutage(new PostgresError({ severity, code, message })));
  expect(told("FATAL")).toContain(`${message} (${code}): `);
  expect(told("FATAL")).toContain(cure);
  expect(told("ERROR")).not.toContain(cure);
});

test.each(["no encryption", "SSL off"])(
  "a server that takes nobody without TLS (%s) is told of by what asks for it",
  (without) => {
    const message = `no pg_hba.conf entry for host "10.0.0.2", user "u", database "d", ${without}`;
    const told = (said: string) =>
      asOutage(new PostgresError({ severity: "FATAL", code: "28000", message: said }));
    expect(told(message)).toMatchObject({ alarm: true });
    expect(explain(told(message))).toContain("sslmode=require");
    expect(explain(told(message.replace(without, "SSL encryption")))).toContain("the role, its password and");
  },
);
