/** What is masked in text before it is shown, and what stays. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { explain } from "../../../src/core/log/log.ts";
import { keepSecret, masked, maskedIn } from "../../../src/core/text/mask.ts";

describe("a URL", () => {
  test.each([
    ["a password", "mqtt://me:s3cret@broker:1883", "mqtt://me:***@broker:1883"],
    ["a token as the user, as hosted brokers want it", "mqtts://s3cret@broker", "mqtts://***@broker"],
    ["the same with an empty password", "mqtts://s3cret:@broker", "mqtts://***@broker"],
    ["a token in the query", "https://influx/?token=s3cret&db=a", "https://influx/?token=***&db=a"],
    ["InfluxDB 1's query", "http://i:8086/write?u=me&p=s3cret", "http://i:8086/write?u=***&p=***"],
    ["PostgreSQL's user, who has no password", "postgres://me@db/sluice", "postgres://me@db/sluice"],
    ["several hosts", "postgres://me:s3cret@a,b:5433/db", "postgres://me:***@a,b:5433/db"],
    ["a password with @ and /", "postgres://me:s3/cr@et@db/x", "postgres://me:***@db/x"],
    [
      "a password of PostgreSQL's parameters",
      "postgres://db/x?sslpassword=s3cret",
      "postgres://db/x?sslpassword=***",
    ],
    ["no secret", "mqtt://broker:1883", "mqtt://broker:1883"],
  ])("with %s", (_, url, shown) => {
    expect(masked(url)).toBe(shown);
    expect(masked(masked(url))).toBe(shown);
    expect(masked(`cannot connect to ${url}: refused`)).toBe(`cannot connect to ${shown}: refused`);
  });
});

test.each([
  'unauthorized: "Token s3cret-s3cret-s3cret"',
  "authorization: Bearer s3cret.s3cret.s3cret",
  "authorization: Basic czNjcmV0OnMzY3JldA== s3cret".slice(0, -7),
  "client tok-s3cretS3cretS3cret is gone",
  'refused {"password":"s3cret"}',
  String.raw`refused {\"provision_token\":\"s3cret\"}`,
  "conninfo host=db password=s3cret dbname=x",
  "new row violates; Failing row contains (1, s3cret,\n s3cret).",
  "Partition key of the failing row contains (event_ts) = (s3cret).",
])("nothing secret is left of: %s", (text) => {
  expect(masked(text)).not.toMatch(/s3cret|czNjcmV0/i);
  expect(masked(text)).toMatch(/\*\*\*|…\)/);
});

test.each([
  'password authentication failed for user "me"',
  "HTTP 401: unauthorized access (check INFLUXDB_TOKEN)",
  "provision_token: unknown name",
  "ADMIN_TOKEN or with --token-file",
  "Token validation failed, basic authentication wanted",
  "the token may not write here",
  "token_set must be a boolean",
  "REQUIRE_TOKEN=0",
  "DATABASE_URL_FILE=/run/secrets/database-url",
  'duplicate key value violates unique constraint "raw_events_pkey"',
  "see https://github.com/a/b?tab=readme and http://[::1]:8080/docs",
])("an innocent sentence stays as it is: %s", (text) => {
  expect(masked(text)).toBe(text);
});

test("a configured secret is found in any text, however it is written", () => {
  keepSecret("p@ss w0rd/9");
  keepSecret("https://me:url-pa55word@host/?token=query-t0ken");
  for (const text of ["p@ss w0rd/9", "p%40ss%20w0rd%2F9", "url-pa55word", "query-t0ken"])
    expect(masked(`it says ${text}!`)).toBe("it says ***!");
});

test("any secret, in any text, as it is or within a URL", () => {
  const secret = fc
    .string({ unit: "grapheme-ascii", minLength: 8, maxLength: 40 })
    .filter((it) => !/^[a-z]+$/i.test(it) && !it.includes("***") && !it.includes("://") && it.trim() === it);
  const around = fc.string({ maxLength: 20 });
  fc.assert(
    fc.property(secret, around, around, (it, before, after) => {
      keepSecret(it);
      expect(masked(before + it + after)).not.toContain(it);
      expect(masked(`${before}http://me:${encodeURIComponent(it)}@h/${after}`)).not.toContain(
        encodeURIComponent(it),
      );
      expect(JSON.stringify(maskedIn({ a: [before + it + after] }))).not.toContain(
        JSON.stringify(it).slice(1, -1),
      );
    }),
    { numRuns: 300 },
  );
});

test("a short secret, or one that is a common word, does not spoil other sentences", () => {
  keepSecret("sluice");
  keepSecret("postgres://postgres:postgres@postgres/postgres");
  const text = "`sluice migrate` makes them in PostgreSQL at postgres:5432/postgres";
  expect(masked(text)).toBe(text);
});

test("an error's causes and everything within an answer are masked; what is no text stays", () => {
  const cause = new Error("mqtt://me:s3cret@broker refused");
  expect(explain(new Error("cannot connect", { cause }))).toBe(
    "cannot connect: mqtt://me:***@broker refused",
  );
  const when = new Date(0);
  expect(maskedIn({ a: ["tok-s3cret", 1, null, true], b: { c: "tok-s3cret" }, when })).toEqual({
    a: ["tok-***", 1, null, true],
    b: { c: "tok-***" },
    when,
  });
});

test("a long hostile text does not take long", () => {
  // If it were quadratic, it would take minutes.
  for (const unit of ["a", "://", "?", "token", "tok-", "@", "a://b:c", "?token="])
    expect(masked(unit.repeat(100_000))).not.toBe("");
});
