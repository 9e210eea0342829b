/** What each answer of InfluxDB means for the lines that were sent. */
import { describe, expect, test } from "bun:test";
import type { ApiKind } from "../../src/sink/influx/api.ts";
import { judgeAnswer, type Verdict } from "../../src/sink/influx/answer.ts";

const nowMs = Date.UTC(2026, 0, 1);

function judge(
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
  kind: ApiKind = "v3",
): Verdict {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return judgeAnswer({ status, headers: new Headers(headers), text }, kind, nowMs);
}

const line = (number: number, message: string) => ({
  error_message: message,
  line_number: number,
  original_line: "telemetry",
});

describe("answers", () => {
  const parked = { kind: "away", alarm: true, down: false };
  const some = { kind: "some" };

  test.each<[string, number, unknown, object]>([
    ["stored", 204, "", { kind: "stored" }],
    [
      "v1: its disk was full, which it says until it is restarted",
      500,
      {
        error:
          "engine: error writing WAL entry: write /d/wal/t/autogen/1/_00001.wal: no space left on device",
      },
      {
        kind: "fault",
        why: expect.stringContaining("no space left on device (make room on its disk, then restart it"),
      },
    ],
    ["another service's 200", 200, "<html>", { kind: "away", alarm: true }],
    [
      "v3: one database too many",
      422,
      { error: "Adding a new database would exceed limit of 5 databases" },
      parked,
    ],
    [
      "v3: the same, said of each line",
      422,
      { error: "partial write", data: [line(1, "Adding a new database would exceed limit of 5 databases")] },
      parked,
    ],
    [
      "v3 by way of v2: one too many",
      400,
      { code: "invalid", message: "Adding a new database would exceed limit of 5 databases" },
      parked,
    ],
    ["v3: bad name", 400, { error: "db name did not start with a number or letter" }, parked],
    [
      "v3: soft-deleted",
      400,
      { error: "cannot write to soft-deleted database 'x' - it is marked for deletion" },
      parked,
    ],
    ["v3: no query", 400, "missing query parameter 'db'", parked],
    [
      "v3: header",
      400,
      { error: "Authorization header was malformed, the request was not authenticated" },
      parked,
    ],
    [
      "no token",
      401,
      { error: "the request was not authenticated" },
      { kind: "away", alarm: true, down: true },
    ],
    ["no permission", 403, { error: "no" }, parked],
    ["nothing there", 404, "Not found", parked],
    ["v3: too large", 413, "max request size (10485760 bytes) exceeded", { kind: "too-large" }],
    ["v3 before 3.10: too large", 500, "max request size (10485760 bytes) exceeded", { kind: "too-large" }],
    ["v3 before 3.10: bad gzip", 500, "error decoding gzip stream: x", { kind: "fault", poison: true }],
    ["v3 before 3.10: bad text", 500, "body content is not valid utf8: x", { kind: "fault", poison: true }],
    ["server error", 500, "write buffer error: error from wal: x", { kind: "fault", poison: false }],
    ["words not known", 400, "computer says no", { kind: "fault", poison: true }],
    ["v2: parse error", 400, { code: "invalid", message: "unable to parse 'x': missing fields" }, some],
    [
      "v2: conflict",
      422,
      {
        code: "unprocessable entity",
        message: "failure writing points to database: partial write: field type conflict: x dropped=3",
      },
      { kind: "some", dropped: 3 },
    ],
    [
      "v1: conflict",
      400,
      { error: "partial write: field type conflict: x dropped=1" },
      { kind: "some", dropped: 1 },
    ],
    [
      "v1: retention",
      400,
      { error: "partial write: points beyond retention policy dropped=4" },
      { kind: "some", dropped: 4 },
    ],
    [
      "v1: too many series",
      400,
      { error: "partial write: max-series-per-database limit exceeded: (1000000) dropped=5" },
      { kind: "some", dropped: 5, othersStored: true },
    ],
    [
      "v1: too many values of a tag",
      400,
      {
        error:
          'partial write: max-values-per-tag limit exceeded (1/1): measurement="telemetry" tag="device_id" value="d2" dropped=1',
      },
      { kind: "some", dropped: 1, othersStored: true },
    ],
    [
      "v2: no organization given",
      400,
      { code: "invalid", message: "Please provide either orgID or org" },
      { kind: "away", alarm: true, down: true, why: expect.stringContaining("INFLUXDB_ORG") },
    ],
    [
      "v2: organization unknown",
      404,
      { code: "not found", message: 'organization name "nope" not found' },
      { kind: "away", alarm: true, down: true, why: expect.stringContaining("INFLUXDB_ORG") },
    ],
    [
      "v2.0: retention, as a server error",
      500,
      {
        code: "internal error",
        message:
          "unexpected error writing points to database: partial write: points beyond retention policy dropped=500",
      },
      { kind: "some", dropped: 500, othersStored: true, suspicion: { kind: "old", count: 500 } },
    ],
    [
      "v2: retention, the count in front",
      422,
      {
        code: "unprocessable entity",
        message:
          "failure writing points to database: partial write: dropped 276 points outside retention policy of duration 720h0m0s",
      },
      { kind: "some", dropped: 276, othersStored: true, suspicion: { kind: "old", count: 276 } },
    ],
    [
      "v2.7: retention, longer than people read",
      422,
      {
        code: "unprocessable entity",
        message: `failure writing points to database: partial write: dropped 7 points outside retention policy of duration 720h0m0s - oldest point m,t=${"a".repeat(600)} at 2017-07-14T02:40:00Z dropped because it violates a Retention Policy Lower Bound at 2026-10-26T21:42:34.016200458Z, newest point m,t=dropped=99 dropped=7 for database: ff043e085673a935 for retention policy: autogen`,
      },
      { kind: "some", dropped: 7, suspicion: { kind: "old", count: 7 } },
    ],
    ["v1: no database", 404, { error: 'database not found: "x"' }, parked],
    ["busy", 429, "", { kind: "away", alarm: false, down: true, retryAfterMs: 0 }],
  ])("%s", (_, status, body, wanted) => {
    expect(judge(status, body)).toMatchObject(wanted);
  });

  test.each([
    ["30", 30_000],
    ["1.5", 1_500],
    [new Date(nowMs + 20_000).toUTCString(), 20_000],
    [new Date(nowMs - 20_000).toUTCString(), 0],
    ["86400", 600_000],
    ["soon", 0],
  ])("busy, with Retry-After: %s", (header, retryAfterMs) => {
    expect(judge(503, "", { "retry-after": header })).toMatchObject({ kind: "away", retryAfterMs });
  });

  test.each([-3_600_000, 3_600_000])("busy until a date of a clock that is %d ms from ours", (apartMs) => {
    const [date, until] = [0, 20_000].map((ms) => new Date(nowMs + apartMs + ms).toUTCString());
    const headers = { date: date ?? "", "retry-after": until ?? "" };
    expect(judge(503, "", headers)).toMatchObject({ kind: "away", retryAfterMs: 20_000 });
  });

  test("questdb: the line that it names, whatever the status", () => {
    for (const status of [400, 500])
      expect(
        judge(status, { message: "failed to parse line protocol", line: 3 }, {}, "questdb"),
      ).toMatchObject({
        kind: "some",
        suspicion: { kind: "line", index: 2 },
      });
    expect(judge(400, { message: "failed to parse line protocol", line: 3 })).toMatchObject({
      suspicion: null,
    });
  });

  test("lines that do not parse are not counted: dropped=0 says nothing", () => {
    const error = "partial write: unable to parse 'x': missing fields dropped=0";
    expect(judge(400, { error }, {}, "v1")).toMatchObject({ kind: "some", dropped: null });
  });

  test.each([
    [400, "organization not found", "set INFLUXDB_ORG"],
    [302, "Found", "not InfluxDB's answer: check INFLUXDB_URL"],
    [403, "no", "INFLUXDB_TOKEN may not write"],
    [404, "database not found", "create it, or set INFLUX_RETENTION"],
    [404, "no such page", "check INFLUXDB_URL and INFLUXDB_API"],
  ])("the remedy for %d %s", (status, error, remedy) => {
    expect(judge(status, { error })).toMatchObject({
      slow: false,
      why: expect.stringContaining(`${error} (${remedy}`),
    });
  });

  test("v3: lines by number, the others stored", () => {
    const body = {
      error: "partial write of line protocol occurred",
      data: [line(2, "bad"), line(5, "worse")],
    };
    const refused = new Map([
      [1, "bad"],
      [4, "worse"],
    ]);
    for (const status of [400, 422])
      expect(judge(status, body)).toEqual({ kind: "lines", refused, othersStored: true });
  });

  test("v3 without partial writes: the first bad line, none stored, in every version's words", () => {
    for (const error of ["line protocol parsing error", "parsing failed for write_lp endpoint"])
      expect(judge(400, { error, data: line(1, "bad") })).toEqual({
        kind: "lines",
        refused: new Map([[0, "bad"]]),
        othersStored: false,
      });
  });

  test("a device's text in the server's words does not make it an answer about the database", () => {
    const error = `partial write: field type conflict: input field "x: database not found" on measurement "m" is type string, already exists as type float dropped=1`;
    expect(judge(400, { error })).toMatchObject(some);
  });

  test("of a proxy's page its title is quoted, of what only looks like one all", () => {
    const page =
      "<html>\r\n<head><title>502 Bad\r\n Gateway</title></head>\r\n<body>\r\n<hr>nginx/1.22.1</body></html>\r\n";
    expect(judge(502, page)).toMatchObject({ why: 'HTTP 502: a page, "502 Bad Gateway"' });
    expect(judge(503, `<!DOCTYPE HTML>\n${page}`)).toMatchObject({
      why: 'HTTP 503: a page, "502 Bad Gateway"',
    });
    for (const text of ["<html>ill</html>", "<html><title></title>", "unable to parse '<title>x</title>'"])
      expect(judge(502, text)).toMatchObject({ why: `HTTP 502: ${text}` });
  });

  test("an operator learns what to do, in at most a few hundred characters", () => {
    const long = JSON.stringify(judge(401, "x".repeat(10_000)));
    expect(long).toContain("INFLUXDB_TOKEN");
    expect(long.length).toBeLessThan(800);
  });
});
