/** The broker is killed, restarted, forgets our session, or remembers more about it than we intend. */
import { connectAsync } from "mqtt";
import type { Random } from "../../../src/simulator/random.ts";
import { until } from "../../kit/until.ts";
import type { Fault } from "../fault.ts";
import { tuned, type Site } from "../site.ts";

interface SourceStatus {
  readonly connected: boolean;
  readonly reconnects: number;
  readonly detail: string;
}

async function sourceOf(site: Site): Promise<SourceStatus> {
  return (await site.gateway.stats())["source"] as SourceStatus;
}

/** Does that to the broker, and waits until the gateway has noticed and is connected again. */
async function reconnected(site: Site, work: () => Promise<void>): Promise<void> {
  const { reconnects } = await sourceOf(site);
  await work();
  await until(async () => {
    const source = await sourceOf(site);
    return source.connected && source.reconnects > reconnects;
  }, 60_000);
}

const publisherRepeats = "what the publisher sends again after its own reconnect is new to the broker";

export const brokerFaults: readonly Fault[] = [
  {
    name: "broker-kill9",
    says: "Mosquitto: `kill -9` under load, with its store saved at every change",
    site: { brokerLines: [...tuned, "autosave_interval 1", "autosave_on_changes true"] },
    few: 3,
    many: 8,
    brokerErrs: `${publisherRepeats}; what it acknowledged after its last save is gone with it`,
    async run(site, times, random) {
      for (let i = 0; i < times; i++) {
        await Bun.sleep(random.whole(100, 600));
        await reconnected(site, async () => {
          await site.broker.kill9();
          await site.broker.restart();
        });
      }
      return times;
    },
  },
  {
    name: "broker-restart",
    says: "Mosquitto: stopped in order and started again under load",
    few: 3,
    many: 8,
    brokerErrs: publisherRepeats,
    async run(site, times, random) {
      for (let i = 0; i < times; i++) {
        await Bun.sleep(random.whole(100, 600));
        await reconnected(site, () => site.broker.restart());
      }
      return times;
    },
  },
  {
    name: "broker-forgets-session",
    says: "Mosquitto: restarted without its store, so that our session and subscription are gone",
    site: { rate: 0 },
    few: 2,
    many: 5,
    run: (site, times) => sessionLost(site, times, () => site.broker.restart({ forget: true })),
  },
  {
    name: "subscription-changed",
    says: "MQTT_TOPIC narrowed and widened, MQTT_SHARE_GROUP set, renamed and unset, under load",
    site: { rate: 1000 },
    few: 4,
    many: 20,
    run: (site, times, random) => changed(site, times, random, subscriptions),
  },
  {
    name: "client-id-changed",
    says: "MQTT_CLIENT_ID changed, and changed back, under load",
    site: { rate: 1000 },
    few: 3,
    many: 12,
    run: (site, times, random) => changed(site, times, random, clientIds),
  },
  {
    name: "session-lost",
    says: "Another client takes our client id and ends our subscription",
    site: { rate: 0 },
    few: 2,
    many: 5,
    run: (site, times) => sessionLost(site, times, () => takeSubscription(site.broker.port)),
  },
];

const subscriptions: readonly Record<string, string>[] = [
  { MQTT_SHARE_GROUP: "site" },
  { MQTT_SHARE_GROUP: "plant" },
  { MQTT_TOPIC: "#" },
  {},
];

const clientIds: readonly Record<string, string>[] = [
  { MQTT_CLIENT_ID: "one" },
  { MQTT_CLIENT_ID: "two" },
  {},
];

/** Ends the gateway in order or not, and starts it with the next of these settings. */
async function changed(
  site: Site,
  times: number,
  random: Random,
  settings: readonly Record<string, string>[],
): Promise<number> {
  for (let i = 0; i < times; i++) {
    await Bun.sleep(random.whole(100, 300));
    const before = site.gateway;
    if (random.whole(0, 1) === 0) await before.stop();
    else await before.kill9();
    site.replace(before, await site.startAnother(settings[i % settings.length]));
    await until(async () => {
      const { detail } = await sourceOf(site);
      return detail.includes(": connected, MQTT") && !detail.includes("changing over");
    }, 60_000);
  }
  return times;
}

/** Messages, and again whenever all that came before the loss are stored. */
async function sessionLost(site: Site, times: number, lose: () => Promise<void>): Promise<number> {
  await site.publish({ count: 200 });
  for (let i = 0; i < times; i++) {
    await until(async () => (await site.rows()).length >= 200 * (i + 1), 60_000);
    await reconnected(site, lose);
    await site.publish({ count: 200 });
  }
  return times;
}

async function takeSubscription(port: number): Promise<void> {
  const rival = await connectAsync({
    port,
    clientId: "sluice-test-gateway",
    clean: false,
    protocolVersion: 5,
    properties: { sessionExpiryInterval: 3600 },
    reconnectPeriod: 0,
  });
  rival.on("error", () => {});
  await rival.unsubscribeAsync("tenant/+/device/+/+");
  await rival.endAsync(true);
}
