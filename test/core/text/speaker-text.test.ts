/** What is kept of a device is never another's: the same topic may come with another sender, site or type, and names may hold anything. */
import { expect, test } from "bun:test";
import { copyText } from "../../../src/core/text/copy-text.ts";
import type { Entry } from "../../../src/core/entry.ts";
import { createAddresses, topicsMax } from "../../../src/core/address.ts";
import { createSpeakers } from "../../../src/core/text/speaker-text.ts";
import { event, reject } from "../../contract/entries.ts";

const { speakerText, speakerAt } = createSpeakers(createAddresses());

const plainly = ({ topic, tenantId, deviceId, msgType, siteId }: Entry) =>
  [topic, tenantId, deviceId, msgType, siteId].map(copyText).join("\t");

test.each([
  ["the first of a topic", {}],
  ["the same again", {}],
  ["another tenant", { tenantId: "t2" }],
  ["another device", { deviceId: "d2" }],
  ["another type", { msgType: "heartbeat" }],
  ["another site", { siteId: "lab-2" }],
  ["a name that is missing", { siteId: null }],
  ["a name that says \\N", { siteId: "\\N" }],
  ["the first again", {}],
])("a topic is written with the names of its message: %s", (_, changed) => {
  const entry = event(1, { topic: "tenant/a\tb/device/d\\1/telemetry", deviceId: "d\\1", ...changed });
  expect(speakerText(entry)).toBe(plainly(entry));
});

test.each([
  ["as it was kept", {}, true],
  ["at a site whose name begins like it", { siteId: "lab-10" }, false],
  ["at a site whose name is its beginning", { siteId: "lab-" }, false],
  ["as another device", { deviceId: "d12" }, false],
  ["under another topic", { topic: "tenant/acme/device/kept/telemetr" }, false],
])("in a record a device that is known is found only %s", (_, changed, isFound) => {
  const kept = event(1, { topic: "tenant/acme/device/kept/telemetry", deviceId: "kept" });
  speakerText(kept);
  const { topic, tenantId, deviceId, msgType, siteId } = kept;
  const found = speakerAt(`e\t1\t${plainly({ ...kept, ...changed })}\t5`, 4);
  if (isFound) expect(found).toMatchObject({ topic, tenantId, deviceId, msgType, siteId });
  else expect(found).toBeUndefined();
});

test.each(["", "no tab", "tenant/acme/device/kept/telemetry"])(
  "in a record that ends there nobody is found: %p",
  (record) => {
    expect(speakerAt(record, 0)).toBeUndefined();
  },
);

test("a stranger's message and devices beyond the bound are written as the others are", () => {
  const speakers = Array.from({ length: topicsMax + 9 }, (_, i) =>
    event(i, { topic: `t/${i}`, deviceId: `d${i}` }),
  );
  const rejects = [0, topicsMax].map((i) => reject(i, { topic: `t/${i}`, deviceId: "d" }));
  for (const entry of [...speakers, ...rejects, ...speakers]) expect(speakerText(entry)).toBe(plainly(entry));
});
