/** HTTP ingest alone, on a port of its own and by a clock that the test moves. */
import { silentLog } from "../../src/core/log/log.ts";
import { ingestSettings } from "../../src/source/http/settings.ts";
import { openHttpSource } from "../../src/source/http/source.ts";
import { simulatedClock } from "./clock.ts";
import { fakeIntake, settingsOf } from "./source.ts";

/** @param ends takes what ends it */
export async function startIngest(
  ends: (() => unknown)[],
  payloadBytesMax: number,
  env: Readonly<Record<string, string>> = {},
) {
  const clock = simulatedClock();
  const settings = settingsOf(ingestSettings, { INGEST_LISTEN: "127.0.0.1:0", ...env });
  const source = openHttpSource({ settings, clock, log: silentLog, payloadBytesMax: () => payloadBytesMax });
  const intake = fakeIntake();
  await source.start(intake);
  ends.push(async () => {
    const closing = source.close();
    await clock.pass(2_000);
    await closing;
  });
  return { clock, source, intake, port: source.address?.().port ?? 0 };
}
