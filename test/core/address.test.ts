/** What is kept of who speaks: of whom, for how many, and that no answer depends on it. */
import { expect, test } from "bun:test";
import { Address, addresses, createAddresses, topicCharsMax, topicsMax } from "../../src/core/address.ts";
import { redeliveryKey } from "../../src/core/redelivery-key.ts";
import { isPending } from "../../src/judge/contract.ts";
import { aBody, aMessage } from "../kit/builders.ts";
import { court } from "../judge/court.ts";

const of = (deviceId: string) => new Address(`tenant/acme/device/${deviceId}/t`, "acme", deviceId, "t", true);

test.each([
  ["whose device is not registered", { isRegistered: false, changes: {} }],
  ["with another's token", { isRegistered: true, changes: { provision_token: "tok-other" } }],
  ["without a time that can be read", { isRegistered: true, changes: { ts: "soon" } }],
])("of a message %s nothing is kept, however often it comes", (what, { isRegistered, changes }) => {
  const it = court();
  if (!isRegistered) it.device = undefined;
  const topic = `tenant/acme/device/${what.replaceAll(" ", "-")}/telemetry`;
  const { device_id: _, tenant_id: __, ...said } = aBody(changes);
  for (let i = 0; i < 2; i++) {
    const outcome = it.judge.judge(aMessage(said, { topic }));
    expect(isPending(outcome) ? it.judge.resume(outcome, null) : outcome).toMatchObject({ kind: "reject" });
  }
  expect(addresses.find(topic)).toBeUndefined();
});

test("of a message that was accepted its address is kept, its entries share it, and its redeliveries are known by the same key as before", () => {
  const it = court();
  const topic = "tenant/acme/device/dev-0001/telemetry";
  const message = aMessage(aBody(), { topic, packetId: 7 });
  const before = redeliveryKey(message);
  const [first, second] = [1, 2].map(() => it.judge.judge(message));
  expect(first).toMatchObject({ kind: "event", topic });
  expect(addresses.find(topic)).toBeInstanceOf(Address);
  expect(second).toHaveProperty("address", addresses.find(topic));
  expect([redeliveryKey(message), redeliveryKey(message)]).toEqual([before, before]);
});

// Packets that an earlier version wrote down are known by these.
test("a redelivery key is what it was in earlier versions", () => {
  const packet = {
    topic: "tenant/acme/device/d1/telemetry",
    payload: new TextEncoder().encode("{}"),
    packetId: 7,
  };
  expect(redeliveryKey({ ...packet, sender: "" })).toBe(58_073_253_937_159);
  expect(redeliveryKey({ ...packet, sender: "c" })).toBe(1_184_737_682_128_903);
});

test("those that came first stay, and one that its topic does not name makes room for one that it does", () => {
  const kept = createAddresses();
  const named = new Address("tenant/acme/device/d0/t", "other", "by its source", "t", false);
  expect(kept.find(named.topic)).toBeUndefined();
  expect(kept.keep(named)).not.toBe(named);
  for (let i = 0; i < topicsMax + 9; i++) kept.keep(of(`d${i}`));
  const [first, last, beyond] = [0, topicsMax - 1, topicsMax].map((i) => kept.find(of(`d${i}`).topic));
  expect(first).toMatchObject({ tenantId: "acme", deviceId: "d0", isOfTopic: true });
  expect(last).toMatchObject({ deviceId: `d${topicsMax - 1}` });
  expect(beyond).toBeUndefined();
  const late = of(`d${topicsMax}`);
  expect(kept.keep(late)).toBe(late);
  kept.makeRoomFor(topicsMax + 1);
  expect(kept.keep(late)).not.toBe(late);
  const later = of("later");
  expect(kept.keep(later)).toBe(later);
  kept.makeRoomFor(1);
  expect(kept.find(late.topic)).toBeDefined();
});

test("what was found last under another topic is not found under none", () => {
  const kept = createAddresses();
  const topic = of("d").topic;
  kept.keep(new Address(topic, "other", "by its source", "t", false));
  expect(kept.find(topic)).toBeDefined();
  kept.keep(of("d"));
  expect(kept.find("")).toBeUndefined();
});

test("under a topic that does not name them the first device is kept, and the others are still themselves", () => {
  const it = court();
  const topic = "readings/of-all";
  const events = ["dev-0001", "dev-0002", "dev-0001", "dev-0002"].map((deviceId) =>
    it.judge.judge(
      aMessage(aBody({ device_id: deviceId }), {
        topic,
        address: { tenantId: "acme", deviceId, msgType: "telemetry" },
      }),
    ),
  );
  // Of the process no more may be kept by now, for other tests share it.
  const kept = createAddresses();
  const named = (deviceId: string) => new Address(topic, "acme", deviceId, "telemetry", false);
  const first = kept.keep(named("dev-0001"));
  const second = named("dev-0002");
  expect([kept.keep(second), kept.keep(named("dev-0001")), kept.find(topic)]).toEqual([second, first, first]);
  expect([first.isKept, second.isKept]).toEqual([true, false]);
  expect(events).toMatchObject(
    [1, 2, 1, 2].map((n) => ({
      kind: "event",
      topic,
      deviceId: `dev-000${n}`,
      address: { key: `acme/dev-000${n}` },
    })),
  );
  expect(it.judge.judge(aMessage(aBody(), { topic }))).toMatchObject({ reason: "BAD_TOPIC_FORMAT" });
});

test("of a topic that is too long nothing is kept", () => {
  const kept = createAddresses();
  const long = of("d".repeat(topicCharsMax));
  expect(kept.keep(long)).toBe(long);
  expect(kept.find(long.topic)).toBeUndefined();
});
