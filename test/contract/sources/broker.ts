/** The embedded broker with one device, byte by byte, in the contract suite. */
import { systemClock } from "../../../src/core/clock.ts";
import { silentLog } from "../../../src/core/log/log.ts";
import { brokerSettings } from "../../../src/source/broker/settings.ts";
import { broker, openBrokerSource } from "../../../src/source/broker/source.ts";
import { cleanUp, device, idsOf } from "../../kit/embedded.ts";
import { settingsOf } from "../../kit/source.ts";
import { publishPacket, type WireClient } from "../../kit/wire.ts";
import type { SourceFixture } from "../sources.test.ts";

export const fixture: SourceFixture = {
  name: "broker",
  unavailable: "",
  // oxlint-disable-next-line typescript/require-await -- the interface is of those that must wait
  async open() {
    const settings = settingsOf(brokerSettings, { BROKER_LISTEN: "127.0.0.1:0" });
    const source = openBrokerSource({ settings, clock: systemClock, log: silentLog });
    const sent: string[] = [];
    let client: WireClient | undefined;
    return {
      source,
      probe: () => broker.probe(settings),
      async send(texts) {
        client ??= await device(source.address().port);
        for (const text of texts) client.send(publishPacket(sent.push(text), text));
      },
      async sendAgain() {
        const known = client === undefined ? [] : idsOf(client, "puback");
        client = await device(source.address().port);
        for (const [i, text] of sent.entries())
          if (!known.includes(i + 1)) client.send(publishPacket(i + 1, text, { dup: true }));
      },
      async stop() {
        await source.close();
        await cleanUp();
      },
    };
  },
};
