import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../../src/cli/command.ts";
import { simulate } from "../../src/cli/simulate.ts";
import { explain } from "../../src/core/log/log.ts";
import { startInProcess, stopAll } from "../kit/inprocess.ts";
import { startAedes, startScripted, type TestBroker } from "../simulator/brokers.ts";
import { trial } from "./simulate-context.ts";

let broker: TestBroker | undefined;
afterEach(async () => {
  await broker?.crash();
  broker = undefined;
});

const toAedes = { rate: "0" };

describe("sluice simulate", () => {
  test("publishes the fleet and summarises the verdicts that a gateway must give", async () => {
    const topics: string[] = [];
    broker = await startAedes((packet, done) => {
      topics.push(packet.topic);
      done();
    });
    const { run, out } = trial();
    const options = {
      ...toAedes,
      broker: broker.url,
      count: "400",
      tenants: "acme,globex",
      faults: "bad-token=0.2",
      json: true,
    };
    expect(await run(simulate, options as Record<string, string | true>)).toBe(0);
    const summary = JSON.parse(out.join("")) as { sent: number; expected: Record<string, number> };
    expect(summary).toMatchObject({ sent: 400, acknowledged: 400, refused: 0, unanswered: 0 });
    expect(Object.keys(summary.expected).toSorted()).toEqual(["TOKEN_INVALID", "event"]);
    expect((summary.expected["event"] ?? 0) + (summary.expected["TOKEN_INVALID"] ?? 0)).toBe(400);
    expect(topics).toHaveLength(400);
    expect(new Set(topics.map((topic) => topic.split("/")[1]))).toEqual(new Set(["acme", "globex"]));
  });

  test("prints the same in words without --json", async () => {
    broker = await startAedes((_packet, done) => done());
    const { run, out } = trial();
    expect(await run(simulate, { ...toAedes, broker: broker.url, count: "50" })).toBe(0);
    expect(out.join("")).toContain("sent 50");
    expect(out.join("")).toMatch(/event +50/);
  });

  test("the same seed publishes the same devices", async () => {
    const seen: string[][] = [];
    broker = await startAedes((packet, done) => {
      seen.at(-1)?.push(packet.topic);
      done();
    });
    for (const seed of ["5", "5", "6"]) {
      seen.push([]);
      const faults = "unknown-device=0.5";
      await trial().run(simulate, {
        ...toAedes,
        broker: broker.url,
        count: "60",
        seed,
        faults,
        connections: "1",
      });
    }
    expect(seen[1]).toEqual(seen[0] ?? []);
    expect(seen[2]).not.toEqual(seen[0] ?? []);
  });

  test("ends with 1 if the broker refused a message", async () => {
    let answered = 0;
    broker = await startScripted(100, (_packet, answer) => answer(++answered === 7 ? 0x97 : 0));
    const { run, out } = trial();
    expect(await run(simulate, { rate: "0", broker: broker.url, count: "20", json: true })).toBe(1);
    expect(JSON.parse(out.join(""))).toMatchObject({ sent: 20, acknowledged: 19, refused: 1 });
  });

  test("ends at Ctrl-C with its summary", async () => {
    const { run, out, interrupt } = trial();
    let received = 0;
    broker = await startAedes((_packet, done) => {
      if (++received === 20) interrupt();
      done();
    });
    expect(await run(simulate, { ...toAedes, broker: broker.url, json: true })).toBe(0);
    const { sent, acknowledged } = JSON.parse(out.join("")) as { sent: number; acknowledged: number };
    expect(sent).toBe(acknowledged);
    expect(sent).toBe(received);
  });

  test.each(["sql", "csv"])(
    "--print-registry %s prints the fleet with hashes and no token, and needs no broker",
    async (form) => {
      const { run, out } = trial();
      expect(await run(simulate, { printRegistry: form, devices: "30" })).toBe(0);
      expect(out.join("")).toMatch(/dev-0030.*lab-1.*ACTIVE.*[0-9a-f]{64}/);
      expect(out.join("")).not.toContain("tok-");
    },
  );

  test("a broker that speaks no MQTT 5, as the embedded one, is spoken to with 3.1.1, unless 5 is asked for", async () => {
    const { gateway } = await startInProcess({ BROKER_LISTEN: "127.0.0.1:0" }, { withBroker: true });
    const embedded = `mqtt://127.0.0.1:${gateway.sourceAddress("broker")?.port}`;
    const { run } = trial();
    const failure = await run(simulate, { broker: embedded, count: "1", mqtt: "5" }).catch(explain);
    expect(failure).toContain(`cannot connect to ${embedded}, which does not speak MQTT 5: leave out --mqtt`);
    expect(await run(simulate, { broker: embedded, count: "1" })).toBe(0);
    expect(await run(simulate, { broker: embedded, count: "1", mqtt: "3.1.1" })).toBe(0);
    await stopAll();
  });

  test("--http at what is no HTTP ingest, such as the gateway's other listener, is told so", async () => {
    const { gateway } = await startInProcess({ INGEST_LISTEN: "127.0.0.1:0" }, { withBroker: true });
    const { run, out } = trial();
    const other = `http://${gateway.httpAddress()}`;
    expect(await run(simulate, { http: other, count: "1" }).catch(explain)).toContain("is no HTTP ingest");
    const ingest = `http://127.0.0.1:${gateway.sourceAddress("http_ingest")?.port}`;
    expect(await run(simulate, { http: ingest, count: "1" })).toBe(0);
    // Nobody registered the fleet, which only the answers tell.
    expect(out.join("")).toMatch(/^event +1 +0\nUNREGISTERED_DEVICE +0 +1$/m);
    await stopAll();
  });

  test("a password in --broker causes a warning that does not repeat it; a file keeps it out of the list of processes", async () => {
    const { run, err } = trial();
    const url = "mqtt://me:s3cret@127.0.0.1:1";
    const failure = (options: Record<string, string>) => run(simulate, options).catch(explain);
    expect(await failure({ broker: url })).toContain("cannot connect to mqtt://me:***@127.0.0.1:1");
    expect(err.join("")).toContain("--broker-file");
    const file = join(mkdtempSync(join(tmpdir(), "sluice-broker-")), "url");
    writeFileSync(file, `${url}\n`);
    err.splice(0);
    expect(await failure({ brokerFile: file })).toContain("cannot connect to mqtt://me:***@127.0.0.1:1");
    expect(err).toEqual([]);
    writeFileSync(file, "me:s3cret@host");
    const mistaken = await failure({ brokerFile: file });
    expect(mistaken).toContain("what it holds must be a URL");
    expect(mistaken).not.toContain("s3cret");
    expect(await failure({ brokerFile: `${file}-none` })).toContain("cannot be read");
  });

  test.each([
    [{}, /--broker.*required/],
    [{ broker: "mqtt://here", brokerFile: "/url" }, /two brokers/],
    [{ broker: "http://here" }, /--broker <url> must be a URL such as mqtt/],
    [{ broker: "mqtt://here", faults: "bad-tokn" }, /--faults.*no fault "bad-tokn"/],
    [{ broker: "mqtt://here", tenants: "a/b" }, /--tenants.*without/],
    [{ broker: "mqtt://here", qos: "3" }, /--qos.*from 0 to 2/],
    [{ broker: "mqtt://here", mqtt: "4" }, /--mqtt.*3\.1\.1/],
  ])("%j is a usage error that says what is wrong", async (options, words) => {
    const failure = await trial()
      .run(simulate, options as Record<string, string>)
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UsageError);
    expect((failure as Error).message).toMatch(words);
  });
});
