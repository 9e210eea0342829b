/**
 * What a message costs that comes through a mapping, beside the same readings in our own envelope: the same devices, one run, one
 * machine. A Zigbee2MQTT-like flow, which is the usual one: flat JSON, a topic per device, a time of its own.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Figure, reportOf, tableOf } from "./figures.ts";
import { measure, startSite } from "./ingest.ts";
import { createLoad, type LoadMessage, usualLoad } from "./load.ts";
import { sluiceSubject } from "./subject.ts";

const mapping = `tenant = "tenant-1"
[[mapping]]
topic = "zigbee2mqtt/{device}"
time  = "/last_seen"
proof = "broker"
`;

export async function run([count = "100000", rounds = "3"]: readonly string[]): Promise<void> {
  const file = join(mkdtempSync(join(tmpdir(), "sluice-bench-")), "mappings.toml");
  writeFileSync(file, mapping);
  const load = { ...usualLoad, tenants: 1 };
  const site = await startSite(load);
  const mapped = { ...site, load: createLoad(load, zigbee) };
  const figures: Figure[] = [];
  for (let round = 0; round < Number(rounds); round++) {
    figures.push(...(await measure(site, sluiceSubject({ name: "envelope" }), Number(count))));
    const subject = sluiceSubject({ name: "mapping", env: { MAPPINGS_FILE: file } });
    figures.push(...(await measure(mapped, subject, Number(count))));
  }
  await site.stop();
  console.log(tableOf(reportOf(figures, ["mappings", count, rounds]), "mapping"));
}

function zigbee(message: LoadMessage): LoadMessage {
  const { ts, seq, metrics } = JSON.parse(message.payload) as Record<string, unknown>;
  const payload = JSON.stringify({ ...(metrics as object), seq, linkquality: 102, last_seen: ts });
  return { ...message, topic: `zigbee2mqtt/${message.device.deviceId}`, payload };
}
