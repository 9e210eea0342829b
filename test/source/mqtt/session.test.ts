/**
 * What the broker remembers about us compared with what we intend: every change of a subscription, and a session that
 * lost it.
 */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { connect, connectAsync, type MqttClient } from "mqtt";
import { type Clock, systemClock } from "../../../src/core/clock.ts";
import { silentLog } from "../../../src/core/log/log.ts";
import type { Message } from "../../../src/core/message.ts";
import { probeMqtt } from "../../../src/source/mqtt/probe.ts";
import { mqttSettings } from "../../../src/source/mqtt/options.ts";
import { createSessionMemory } from "../../../src/source/mqtt/session-memory.ts";
import { endsAfterEach } from "../../kit/ends.ts";
import { mosquittoAvailable, startMosquitto } from "../../kit/mosquitto.ts";
import { mqttSource } from "../../kit/mqttsource.ts";
import { fakeIntake, recordingLog, settingsOf, until } from "../../kit/source.ts";

const TOPIC = "tenant/acme/device/d1/telemetry";
const OTHER = "tenant/globex/device/d1/telemetry";

const ends = endsAfterEach();

function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), "sluice-session-"));
  ends.push(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, "mqtt-session.json");
}

async function mosquitto() {
  const broker = await startMosquitto({ lines: ["max_queued_messages 0"] });
  ends.push(() => broker.dispose());
  return broker;
}

/** Periodic checks run twenty times as often. */
const soonQuiet: Clock = { ...systemClock, every: (ms, run) => systemClock.every(ms / 20, run) };

/** Waits are twenty times as short. */
const hurried: Clock = {
  ...systemClock,
  every: (ms, run) => systemClock.every(ms / 20, run),
  after: (ms, run) => systemClock.after(ms / 20, run),
};

/** A gateway as it is after a start: what it knows about its session is in the file. */
async function running(
  env: Record<string, string>,
  file: string,
  log = silentLog,
  settles = true,
  clock: Clock = systemClock,
) {
  const source = mqttSource(env, { clock, log, memory: createSessionMemory(file, log) });
  const intake = fakeIntake(settles ? () => source : undefined);
  ends.push(() => source.close());
  await source.start(intake);
  return { source, intake };
}

async function client(port: number, options: Record<string, unknown> = {}): Promise<MqttClient> {
  const made = await connectAsync({
    host: "127.0.0.1",
    port,
    protocolVersion: 4,
    reconnectPeriod: 0,
    ...options,
  });
  made.on("error", () => {});
  ends.push(() => made.endAsync(true));
  return made;
}

/** Publishes continuously on several connections until told to stop; resolves with all that it sent. */
async function flood(port: number): Promise<() => Promise<string[]>> {
  const sent: string[] = [];
  const ending = new AbortController();
  const lines = await Promise.all(Array.from({ length: 4 }, () => client(port)));
  const done = Promise.all(
    lines.map(async (line, n) => {
      for (let i = 0; !ending.signal.aborted; i += 1) {
        const text = `flood ${n} ${i}`;
        await line.publishAsync(TOPIC, text, { qos: 1 });
        sent.push(text);
      }
    }),
  );
  return async () => {
    ending.abort();
    await done;
    return sent;
  };
}

/** What the intake stores of them: it recognises what comes with DUP, by identifier and bytes. */
function taken(messages: ReturnType<typeof fakeIntake>["messages"]): string[] {
  const known = new Set<string>();
  return messages.flatMap(({ payload, packetId, dup }) => {
    const text = Buffer.from(payload).toString();
    const print = `${packetId} ${text}`;
    if (dup && known.has(print)) return [];
    known.add(print);
    return text;
  });
}

const plain = {};
const group = (name: string) => ({ MQTT_SHARE_GROUP: name });
const topic = (filter: string) => ({ MQTT_TOPIC: filter });
const id = (clientId: string) => ({ MQTT_CLIENT_ID: clientId });
type Env = Record<string, string>;

/** Each matches TOPIC before and after; `gone`: a topic that only the old filter matches. */
const changes: readonly { says: string; from: Env; to: Env; gone?: string }[] = [
  { says: "nothing", from: plain, to: plain },
  { says: "topic narrowed", from: plain, to: topic("tenant/acme/device/+/+"), gone: OTHER },
  { says: "topic widened", from: topic("tenant/acme/device/+/+"), to: plain },
  { says: "topic widened to all", from: plain, to: topic("#") },
  { says: "share group set", from: plain, to: group("site") },
  { says: "share group unset", from: group("site"), to: plain },
  { says: "share group renamed", from: group("site"), to: group("plant") },
  {
    says: "share group set and topic narrowed",
    from: plain,
    to: { ...group("site"), ...topic("tenant/acme/#") },
    gone: OTHER,
  },
  {
    says: "topic narrowed in a share group",
    from: group("site"),
    to: { ...group("site"), ...topic(TOPIC) },
    gone: OTHER,
  },
  { says: "client id", from: plain, to: id("other") },
  { says: "client id and topic narrowed", from: plain, to: { ...id("other"), ...topic(TOPIC) }, gone: OTHER },
  { says: "client id in a share group", from: group("site"), to: { ...id("other"), ...group("site") } },
];

describe.skipIf(!mosquittoAvailable())("with mosquitto (skipped if it is not installed)", () => {
  describe.each(["5", "3.1.1"])("MQTT %s", (version) => {
    test.each(changes)(
      "$says: what comes before, meanwhile and afterwards is taken once",
      async ({ from, to, gone }) => {
        const { port } = await mosquitto();
        const file = scratch();
        const at = (host: string) => ({ MQTT_URL: `mqtt://${host}:${port}`, MQTT_VERSION: version });
        const first = await running({ ...at("127.0.0.1"), ...from }, file);
        const stop = await flood(port);
        await until("some", () => first.intake.messages.length > 20);
        await first.source.close();
        await Bun.sleep(20);
        const second = await running({ ...at("localhost"), ...to }, file, silentLog, true, soonQuiet);
        const seen = second.intake.messages.length;
        await until("more", () => second.intake.messages.length > seen + 50);
        // Until the former session has lost its subscriptions, what only those match is still ours.
        await until("subscribed", () => {
          const { detail } = second.source.status();
          return detail.includes(": connected, MQTT") && !detail.includes("is changing over");
        });
        const sent = await stop();
        const line = await client(port);
        if (gone !== undefined) await line.publishAsync(gone, "not ours", { qos: 1 });
        await line.publishAsync(TOPIC, "fence", { qos: 1 });
        await line.publishAsync(TOPIC, "end", { qos: 1 });
        await until("the end", () => second.intake.texts().includes("end"));
        await until("nothing left", () => !second.source.status().detail.includes("former"));
        const texts = taken([...first.intake.messages, ...second.intake.messages]);
        expect(texts.toSorted()).toEqual([...sent, "fence", "end"].toSorted());
      },
      60_000,
    );

    test.each([
      { clean: false, takes: "our subscription" },
      { clean: true, takes: "our session" },
    ])(
      "another client with our id takes $takes away: it is reported, and we subscribe again",
      async ({ clean }) => {
        const { port } = await mosquitto();
        const { log, lines } = recordingLog();
        const env = { MQTT_URL: `mqtt://127.0.0.1:${port}`, MQTT_VERSION: version };
        const { source, intake } = await running(env, scratch(), log);
        for (let i = 0; i < 5; i += 1) {
          const before = source.status().reconnects;
          const rival = await client(port, { clientId: "sluice-g1", clean });
          await rival.unsubscribeAsync("tenant/+/device/+/+").catch(() => {});
          await until(
            "a new connection",
            () => source.status().reconnects > before && source.status().connected,
          );
        }
        const line = await client(port);
        for (let i = 0; i < 20; i += 1) await line.publishAsync(TOPIC, `m${i}`, { qos: 1 });
        await until("20 messages", () => intake.messages.length === 20);
        expect(source.status()).toMatchObject({ connected: true });
        expect(source.status().detail).toContain("another client with the same id, sluice-g1");
        expect(lines.filter(({ msg }) => msg.includes("another client with the same id")).length).toBe(1);
        const lost = lines.filter(({ msg }) => msg.includes("the broker says that it lost our session"));
        expect(lost.length).toBe(clean ? 2 : 0);
      },
    );
  });

  describe.each(["5", "3.1.1"])("MQTT %s: a former client id", (version) => {
    /** Does the broker have a session with that id? Looks without touching it, as far as MQTT permits. */
    const hasSession = async (port: number, clientId: string) => {
      const looking = connect({
        host: "127.0.0.1",
        port,
        clientId,
        clean: false,
        protocolVersion: 4,
        reconnectPeriod: 0,
      });
      const { sessionPresent } = await new Promise<{ sessionPresent: boolean }>((resolve) =>
        looking.on("connect", resolve),
      );
      await looking.endAsync(true);
      return sessionPresent;
    };

    test("what the broker kept for it is taken, then that session is ended and forgotten", async () => {
      const { port } = await mosquitto();
      const file = scratch();
      const env = { MQTT_URL: `mqtt://127.0.0.1:${port}`, MQTT_VERSION: version };
      await (await running({ ...env, ...id("a") }, file)).source.close();
      const line = await client(port);
      const sent = Array.from({ length: 500 }, (_, i) => `m${i}`);
      for (const text of sent) await line.publishAsync(TOPIC, text, { qos: 1 });
      const { log, lines } = recordingLog();
      const { source, intake } = await running({ ...env, ...id("b") }, file, log, true, hurried);
      await until("all", () => intake.messages.length === sent.length);
      await until("its end", () => lines.some(({ msg }) => msg.includes("that session is ended")));
      expect(lines.find(({ msg }) => msg.includes("that session"))).toMatchObject({
        client_id: "a",
        messages: 500,
      });
      expect(source.status().detail).not.toContain("former");
      await line.publishAsync(TOPIC, "last", { qos: 1 });
      await until("the last", () => intake.texts().includes("last"));
      expect(intake.texts()).toEqual([...sent, "last"]);
      // The former gateway may have stored some of it and not said so; the new session has begun with this start.
      expect(intake.messages.map(({ mayBeAgain }) => mayBeAgain)).toEqual([...sent.map(() => true), false]);
      expect(Object.keys(JSON.parse(readFileSync(file, "utf8")))).toEqual(["b"]);
      expect([await hasSession(port, "a"), await hasSession(port, "b")]).toEqual([false, true]);
    });

    test("the broker is away at first: taken all the same", async () => {
      const broker = await mosquitto();
      const file = scratch();
      const env = { MQTT_URL: `mqtt://127.0.0.1:${broker.port}`, MQTT_VERSION: version };
      await (await running({ ...env, ...id("a") }, file)).source.close();
      await (await client(broker.port)).publishAsync(TOPIC, "kept", { qos: 1 });
      await broker.stop();
      const { source, intake } = await running({ ...env, ...id("b") }, file, silentLog, true, hurried);
      await Bun.sleep(400);
      await broker.restart();
      await until("what was kept", () => intake.texts().includes("kept"));
      await until("its end", () => !source.status().detail.includes("former"));
    });

    test("a DATA_DIR that cannot be written at its end is told, and ends nothing", async () => {
      const { port } = await mosquitto();
      const file = scratch();
      const env = { MQTT_URL: `mqtt://127.0.0.1:${port}`, MQTT_VERSION: version };
      await (await running({ ...env, ...id("a") }, file)).source.close();
      const { log, lines } = recordingLog();
      const { source, intake } = await running({ ...env, ...id("b") }, file, log, true, soonQuiet);
      await until("the change-over", () => source.status().connected);
      rmSync(dirname(file), { recursive: true });
      await until("a word", () => lines.some(({ msg }) => msg.includes("cannot be noted")));
      await (await client(port)).publishAsync(TOPIC, "later", { qos: 1 });
      await until("what comes later", () => intake.texts().includes("later"));
    });

    test("another gateway has it by now: we give way, and both go on", async () => {
      const { port } = await mosquitto();
      const [mine, theirs] = [scratch(), scratch()];
      const env = { MQTT_URL: `mqtt://127.0.0.1:${port}`, MQTT_VERSION: version };
      await (await running({ ...env, ...id("a") }, mine)).source.close();
      const other = await running({ ...env, ...id("a"), ...topic("other/#") }, theirs);
      const { log, lines } = recordingLog();
      const soonAgain = { ...hurried, every: systemClock.every };
      const { source, intake } = await running({ ...env, ...id("b") }, mine, log, true, soonAgain);
      await until("we give way", () => lines.some(({ msg }) => msg.includes("is not taken")));
      await until("both stand", () => source.status().connected && other.source.status().connected);
      const line = await client(port);
      await line.publishAsync(TOPIC, "ours", { qos: 1 });
      await line.publishAsync("other/x", "theirs", { qos: 1 });
      await until(
        "each its own",
        () => intake.texts().includes("ours") && other.intake.texts().includes("theirs"),
      );
      expect(source.status().detail).not.toContain("former");
    });
  });

  test("killed before the copies are acknowledged: they come again in pairs, and are recognised", async () => {
    const { port } = await mosquitto();
    const file = scratch();
    const at = { MQTT_URL: `mqtt://127.0.0.1:${port}` };
    await (await running({ ...at, ...group("g0") }, file)).source.close();
    const stop = await flood(port);
    const seen: Message[] = [];
    for (const name of ["g1", "g2", "g3", "g4", "g5", "g6"]) {
      // Acknowledges nothing, like a gateway that is killed before its first group is written.
      const { source, intake } = await running({ ...at, ...group(name) }, file, silentLog, false);
      const before = intake.messages.length;
      await until("some", () => intake.messages.length > before + 20);
      source.reconnect();
      await source.close();
      expect(new Set(taken(intake.messages)).size).toBe(taken(intake.messages).length);
      seen.push(...intake.messages);
    }
    const sent = await stop();
    const last = await running({ ...at, ...group("g6") }, file);
    await (await client(port)).publishAsync(TOPIC, "end", { qos: 1 });
    await until("the end", () => last.intake.texts().includes("end"));
    expect(taken([...seen, ...last.intake.messages]).toSorted()).toEqual([...sent, "end"].toSorted());
  });

  test("a session that the broker has lost since the last start is reported", async () => {
    const broker = await mosquitto();
    const file = scratch();
    const env = { MQTT_URL: `mqtt://127.0.0.1:${broker.port}` };
    await (await running(env, file)).source.close();
    await broker.restart({ forget: true });
    const { log, lines } = recordingLog();
    const { source } = await running(env, file, log);
    expect(lines.map(({ msg }) => msg)).toContainEqual(
      expect.stringContaining("the broker says that it lost our session"),
    );
    expect(source.status()).toMatchObject({ session_lost_at: expect.stringMatching(/^20/) });
  });

  test("in a share group the log says once, and /readyz always, what happens to the share of a member that is away", async () => {
    const { port } = await mosquitto();
    const { log, lines } = recordingLog();
    const { source } = await running(
      { MQTT_URL: `mqtt://127.0.0.1:${port}`, ...group("site") },
      scratch(),
      log,
    );
    source.reconnect();
    await until("a new connection", () => source.status().reconnects === 1 && source.status().connected);
    const note = "for 600 s (MQTT_SESSION_EXPIRY_SECONDS)";
    expect(lines.filter(({ msg }) => msg.includes(note)).length).toBe(1);
    expect(source.status().detail).toContain(note);
    const env = { MQTT_URL: `mqtt://127.0.0.1:${port}` };
    expect(await probeMqtt(settingsOf(mqttSettings, { ...env, ...group("site") }))).toContain(note);
    expect(await probeMqtt(settingsOf(mqttSettings, env))).not.toContain("share group");
  });
});

test("a file that cannot be read is reported, and begun anew", () => {
  const file = scratch();
  writeFileSync(file, "[1, 2");
  const { log, lines } = recordingLog();
  const memory = createSessionMemory(file, log);
  expect(lines.map(({ msg }) => msg)).toEqual([expect.stringContaining("cannot be read")]);
  memory.note("sluice-g1", "mqtt://a:1883", ["x/#"]);
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({ "sluice-g1": { "mqtt://a:1883": ["x/#"] } });
  expect(createSessionMemory(file, log).filtersOf("sluice-g1")).toEqual(["x/#"]);
  expect(createSessionMemory(file, log).filtersOf("sluice-g2")).toEqual([]);
});
