/** What the rows look at while a fault is on. */
import type { Stats } from "../../../src/admin/measurements.ts";
import { until } from "../../kit/until.ts";
import type { KafkaSide } from "../kafka-side.ts";
import type { Site } from "../site.ts";

export function kafkaOf({ kafka }: Site): KafkaSide {
  if (kafka === undefined) throw new Error("this site has no Kafka");
  return kafka;
}

export async function sinks(site: Site): Promise<Stats["sinks"]> {
  return (await site.gateway.stats()).sinks;
}

export async function delivers(site: Site): Promise<void> {
  const before = (await sinks(site))["kafka"]?.delivered ?? 0;
  await until(async () => ((await sinks(site))["kafka"]?.delivered ?? 0) > before + 20, 60_000);
}
