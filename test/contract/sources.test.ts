/**
 * The promises of every source (src/core/source.ts), tested on each of the list. A source joins by its fixture,
 * sources/<name>.ts.
 */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Source, SourceKind } from "../../src/core/source.ts";
import { SOURCES } from "../../src/source/index.ts";
import { type FakeIntake, fakeIntake, until } from "../kit/source.ts";

export interface SourceFixture {
  readonly name: string;
  /** Why it cannot be tested here; "" if it can. */
  readonly unavailable: string;
  open(): Promise<OpenSource>;
}

export interface OpenSource {
  /** Not started yet. */
  readonly source: Source;
  /** The probe of `check`. */
  probe(): Promise<string>;
  /** Makes a sender send these, one after the other. Resolves when they are under way. */
  send(texts: readonly string[]): Promise<void>;
  /** What a sender does by itself after its connection was cut: it repeats what was not acknowledged. */
  sendAgain(): Promise<void>;
  stop(): Promise<void>;
}

setDefaultTimeout(60_000);

for (const { name } of SOURCES) {
  const fixture = await fixtureOf(name);
  const { unavailable } = fixture;
  const title = unavailable === "" ? `the ${name} source` : `the ${name} source (skipped: ${unavailable})`;
  describe.skipIf(unavailable !== "")(title, () => suite(fixture));
}

async function fixtureOf(name: string): Promise<SourceFixture> {
  const path = join(import.meta.dir, "sources", `${name}.ts`);
  if (existsSync(path)) return ((await import(path)) as { fixture: SourceFixture }).fixture;
  const open = () => Promise.reject(new Error(`the ${name} source has no fixture: write ${path}`));
  return { name, unavailable: "", open };
}

function suite(fixture: SourceFixture): void {
  let open: OpenSource;
  let intake: FakeIntake;
  beforeEach(async () => {
    open = await fixture.open();
    intake = fakeIntake();
  });
  afterEach(() => open.stop());

  /** Resolves once it has started and its sender's messages are at the intake. */
  async function received(texts: readonly string[]): Promise<void> {
    await open.source.start(intake);
    await open.send(texts);
    await until("the messages", () => intake.messages.length === texts.length);
  }
  const unacknowledged = () => open.source.status().unacknowledged;

  test("says its name and its state, before and after its start", async () => {
    expect(open.source.status()).toMatchObject({ kind: fixture.name, connected: false, unacknowledged: 0 });
    await received(["a"]);
    expect(open.source.status()).toMatchObject({ kind: fixture.name, connected: true, reconnects: 0 });
    expect(open.source.status().detail).toMatch(/\S/);
  });

  test("describes every field that only it has in /stats", async () => {
    await received(["a"]);
    const kinds: readonly SourceKind[] = SOURCES;
    const { counts = {} } = kinds.find(({ name }) => name === fixture.name) ?? {};
    const common = new Set(["kind", "connected", "detail", "reconnects", "unacknowledged"]);
    const own = Object.keys(open.source.status()).filter((field) => !common.has(field));
    expect(Object.keys(counts)).toEqual(expect.arrayContaining(own) as string[]);
    expect(Object.keys(counts)).toEqual(
      expect.arrayContaining([...(open.source.counters ?? [])]) as string[],
    );
  });

  test("says in one sentence that it can be used", async () => {
    expect(await open.probe()).toMatch(/\S/);
  });

  test("passes on what is sent in order, and acknowledges what is durable and nothing else", async () => {
    await received(["a", "b", "c"]);
    expect([intake.texts(), unacknowledged()]).toEqual([["a", "b", "c"], 3]);
    open.source.durable(intake.messages.slice(0, 2));
    await until("two acknowledgements", () => unacknowledged() === 1);
    open.source.durable(intake.messages.slice(2));
    await until("the third", () => unacknowledged() === 0);
  });

  test("delivers again what was not durable when the connection broke, and says so by its key", async () => {
    await received(["a", "b"]);
    open.source.durable(intake.messages.slice(0, 1));
    await until("one acknowledgement", () => unacknowledged() === 1);
    open.source.reconnect();
    await open.sendAgain();
    const before = intake.messages[1];
    expect(before?.redeliveryKey()).toBeNumber();
    // The first may come again, too: its acknowledgement may have been lost with the connection.
    const again = () =>
      intake.messages.slice(2).find((message) => message.redeliveryKey() === before?.redeliveryKey());
    await until("the second again", () => again() !== undefined);
    expect(again()).toMatchObject({ dup: true, topic: before?.topic });
  });

  test("gives two messages that are alike two keys", async () => {
    await received(["a", "a"]);
    const [one, other] = intake.messages.map((message) => message.redeliveryKey());
    expect(one).not.toBe(other);
  });

  test("takes nothing more once it is told to stop, and still acknowledges what it took", async () => {
    await received(["a"]);
    await open.source.stopIntake();
    await open.send(["late"]);
    open.source.durable(intake.messages);
    await until("the acknowledgement", () => unacknowledged() === 0);
    await open.source.close();
    expect([intake.texts(), open.source.status().connected]).toEqual([["a"], false]);
  });
}
