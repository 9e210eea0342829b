/**
 * The judge's idea of what PostgreSQL can hold, against a real server: what the judge accepts must never be a poison.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import postgres from "postgres";
import { decodeText } from "../../src/judge/decode.ts";
import { redact } from "../../src/judge/redact.ts";
import { wrapRaw } from "../../src/judge/scrub.ts";
import { nestingMax, unstorable } from "../../src/judge/unstorable.ts";
import { isRejection } from "../../src/judge/verdict.ts";
import { postgresAvailable, sharedPostgres } from "../kit/postgres.ts";

const unavailable = postgresAvailable();

/** Fragments at and around each limit. */
const fragments = [
  ...["1", "1.0", "-0", "1e131071", "1e131072", "9e131071", "1e131073", "0.1e131073", "1e-16383", "1e-16384"],
  ...[
    "0e131073",
    "0e-16384",
    "1.5e-16382",
    "1.5e-16383",
    "1e999999999999",
    "1E+9999",
    "-1e99999",
    "1e2147483648",
  ],
  ...[
    "\\u0000",
    "\\\\u0000",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\ude00",
    "\\ud83dx",
    "\\ud83d\\n",
    "\\u0001",
    "\\uffff",
  ].map((escape) => `"${escape}"`),
  // Brackets in strings are no levels, an escaped quote ends no string, and behind an end of both comes the next level.
  ...[
    `"\\"${"[".repeat(70)}"`,
    `["\\\\",${"[".repeat(62)}${"]".repeat(62)}]`,
    `{"]":${"[".repeat(61)}${"]".repeat(61)}}`,
  ],
  ...['"\u{10ffff}"', '"\u007f"', '"\u2028"', `${"[".repeat(63)}${"]".repeat(63)}`, `{"a":{},"a":"\\u0000"}`],
];

const isTooDeep = (text: string) => unstorable(text)?.startsWith("nested") === true;

function depthOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

describe.skipIf(unavailable !== "")(`a real PostgreSQL ${unavailable}`, () => {
  let sql: postgres.Sql;
  beforeAll(async () => {
    sql = postgres(await (await sharedPostgres()).createDatabase(), { max: 1, onnotice: () => {} });
  });
  afterAll(() => sql.end());

  const takes = async (text: string) => {
    try {
      await sql.unsafe("SELECT $1::text::jsonb", [text]);
      return true;
    } catch {
      return false;
    }
  };

  test.each(fragments)(
    "%s: it takes what the judge accepts, and what is kept of what the judge rejects",
    async (fragment) => {
      const text = `{"a":${fragment}}`;
      // Alone, in one of many objects, and between long strings.
      const long = `"${"AQ1e".repeat(300)}"`;
      for (const written of [
        text,
        `{"many":[${"{},".repeat(40)}${fragment}]}`,
        `{"a":${long},"b":${fragment},"c":${long}}`,
      ]) {
        if (unstorable(written) === null) expect(await takes(written)).toBe(true);
        else expect(await takes(wrapRaw(written))).toBe(true);
        expect([written, isTooDeep(written)]).toEqual([written, depthOf(JSON.parse(written)) > nestingMax]);
      }
    },
  );

  test("it refuses what the judge calls unstorable, except depth, which only the stack bounds", async () => {
    for (const fragment of ["1e131073", "1e-16384", '"\\u0000"', '"\\ud83d"', '{"a":"\\ude00","a":1}']) {
      expect([fragment, unstorable(`{"a":${fragment}}`) !== null, await takes(`{"a":${fragment}}`)]).toEqual([
        fragment,
        true,
        false,
      ]);
    }
  });

  test("it takes any text that passes the decoder, and any other in the form in which it is kept", async () => {
    const text = fc.oneof(
      fc.json(),
      fc.string({ unit: "binary" }).map((s) => JSON.stringify({ [s]: s })),
    );
    await fc.assert(
      fc.asyncProperty(text, async (any) => {
        const kept = isRejection(decodeText(any)) ? wrapRaw(any) : redact(any, undefined);
        expect(await takes(kept)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
