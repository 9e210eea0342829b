/** What the fuzz has found, each as the smallest message that shows it. */
import { describe, expect, test } from "bun:test";
import { redact } from "../../src/judge/redact.ts";
import { wrapRaw } from "../../src/judge/scrub.ts";
import { aBody, aMessage, aToken } from "../kit/builders.ts";
import { court, dev, entryOf, pendingOf, withoutDevice } from "../judge/court.ts";

const keeping = () => court({ policy: dev });

describe("a token never leaves memory", () => {
  test("the escape of a tab before the rest of a token stays valid JSON, or it would be a poison in PostgreSQL", () => {
    const text = String.raw`{"provision_token":"token-of-site","note":"\token-of-site"}`;
    expect(JSON.parse(redact(text, "token-of-site"))).toEqual({ provision_token: "***", note: "***" });
    const hex = String.raw`{"provision_token":"00e9abcdef","note":"\u00e9abcdef"}`;
    expect(JSON.parse(redact(hex, "00e9abcdef"))).toEqual({ provision_token: "***", note: "***" });
  });

  test("a token with quotes and backslashes is found however they are spelled", () => {
    const text = String.raw`{"provision_token":"to\"ken\\with","note":"to\u0022ken\u005cwith"}`;
    expect(redact(text, 'to"ken\\with')).toBe('{"provision_token":"***","note":"***"}');
  });

  test("one that the registry issued is blanked wherever it stands, even when another is presented", () => {
    const { payload } = entryOf(
      keeping().judge.judge(aMessage(aBody({ provision_token: "wrong one", note: `is ${aToken}` }))),
    );
    expect(payload).toContain('"note":"is tok-***"');
    const misspelt = entryOf(
      keeping().judge.judge(aMessage(aBody({ provision_token: undefined, provisionToken: aToken }))),
    );
    expect([misspelt.reason, misspelt.payload.includes(aToken)]).toEqual(["TOKEN_MISSING", false]);
  });

  test("a topic that holds one is a bad topic, and is kept without it", () => {
    const it = keeping();
    const issued = `tok-${"A1_-".repeat(8)}`;
    const entry = entryOf(
      it.judge.judge(aMessage(aBody(), { topic: `tenant/acme/device/dev-0001/${issued}` })),
    );
    expect(entry).toMatchObject({ reason: "BAD_TOPIC_FORMAT", msgType: null });
    expect(JSON.stringify(entry)).not.toContain(issued);
  });

  test("on a topic of no device, JSON is kept as JSON, and its token is found and blanked", () => {
    const body = aBody({ provision_token: "a token with spaces", note: "a token with spaces" });
    const entry = entryOf(keeping().judge.judge(aMessage(body, { topic: "nowhere/a token with spaces" })));
    expect(JSON.parse(entry.payload)).toMatchObject({ provision_token: "***", note: "***", seq: 120 });
    expect([entry.reason, entry.topic]).toEqual(["BAD_TOPIC_FORMAT", "nowhere/***"]);
  });

  test("JSON that cannot be stored is searched as JSON", () => {
    const body = aBody({ provision_token: "a token with spaces", note: "a token with spaces\0" });
    const { reason, payload } = entryOf(keeping().judge.judge(aMessage(body)));
    expect([reason, payload.includes("with spaces")]).toEqual(["UNSTORABLE_TEXT", false]);
  });

  test("text that is cut off loses the whole of a quoted token, spaces and all", () => {
    expect(wrapRaw('{"provision_token":"a token with \\" spaces","a":1')).toBe(
      JSON.stringify({ _raw: '{"provision_token":"***","a":1' }),
    );
    expect(wrapRaw('{"provision_token":"a token with sp')).not.toContain("token with");
  });

  test("UTF-16 is searched as what it spells", () => {
    const { payload } = entryOf(
      keeping().judge.judge(aMessage(Buffer.from(JSON.stringify(aBody()), "utf16le"))),
    );
    expect(payload.replaceAll("\ufffd", "")).not.toContain(aToken);
  });

  test("a site that is the token is blanked while it waits for the registry", () => {
    const it = withoutDevice(keeping());
    const pending = pendingOf(
      it.judge.judge(aMessage(aBody({ site_id: "a made-up token", provision_token: "a made-up token" }))),
    );
    const entry = it.judge.resume(pending, "unavailable");
    expect([entry.kind, entry.siteId]).toEqual(["deferred", "***"]);
  });

  test("a name that spells one behind a backslash keeps its backslashes", () => {
    expect(redact(String.raw`{"\\u006dy_provision_token":["x"]}`, undefined)).toBe(
      String.raw`{"\\u006dy_provision_token":"***"}`,
    );
  });
});
