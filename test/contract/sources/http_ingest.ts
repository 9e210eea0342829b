/** HTTP ingest with one sender, which gives each message an Idempotency-Key, in the contract suite. */
import { systemClock } from "../../../src/core/clock.ts";
import { silentLog } from "../../../src/core/log/log.ts";
import { httpIngest, openHttpSource } from "../../../src/source/http/source.ts";
import { ingestSettings } from "../../../src/source/http/settings.ts";
import { settingsOf, until } from "../../kit/source.ts";
import type { SourceFixture } from "../sources.test.ts";

export const fixture: SourceFixture = {
  name: "http_ingest",
  unavailable: "",
  // oxlint-disable-next-line typescript/require-await -- the interface is of those that must wait
  async open() {
    const settings = settingsOf(ingestSettings, { INGEST_LISTEN: "127.0.0.1:0" });
    const source = openHttpSource({
      settings,
      clock: systemClock,
      log: silentLog,
      payloadBytesMax: () => 262_144,
    });
    const sent: string[] = [];
    const answered = new Set<number>();
    /** Resolves once the message is taken or refused: the answer to one that is taken comes when it is settled. */
    async function post(at: number): Promise<void> {
      const { host, port } = source.address?.() ?? { host: "", port: 0 };
      const before = source.status().unacknowledged;
      let isOver = false;
      void fetch(`http://${host}:${port}/ingest/v1/tenant/acme/device/d1/telemetry`, {
        method: "POST",
        headers: { "idempotency-key": `key-${at}` },
        body: sent[at] ?? "",
      })
        .then(({ status }) => status === 202 && answered.add(at))
        .catch(() => {})
        .finally(() => (isOver = true));
      // One after the other, as the suite wants them.
      await until("it is taken or refused", () => isOver || source.status().unacknowledged > before);
    }
    return {
      source,
      probe: () => httpIngest.probe(settings),
      async send(texts) {
        for (const text of texts) await post(sent.push(text) - 1);
      },
      async sendAgain() {
        for (const at of sent.keys()) if (!answered.has(at)) await post(at);
      },
      stop: () => source.close(),
    };
  },
};
