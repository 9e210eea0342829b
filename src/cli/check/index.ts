/**
 * `sluice check`: prints the settings in force, and whether each downstream system and source can be reached and used
 * with them. It changes nothing and may be run beside a running gateway: it takes neither the spool nor the MQTT
 * session.
 */
import type { Config, Effective } from "../../config/index.ts";
import { explain } from "../../core/log/log.ts";
import { maskedIn } from "../../core/text/mask.ts";
import { command, json } from "../command.ts";
import { configured } from "../configuration.ts";
import { createProbes, type Probe } from "./probes.ts";
import { jsonLine } from "../report.ts";

interface Probed {
  readonly part: string;
  readonly ok: boolean;
  readonly detail: string;
}

export const check = command({
  name: "check",
  summary: "Print the settings in force and probe every system that they name",
  options: { json },
  async run(context, { options }) {
    const { config, effective } = configured(context);
    const found = maskedIn(await probeAll(config));
    context.stdout(
      options.json ? jsonLine({ settings: effective, probes: found }) : asText(effective, found),
    );
    return found.every(({ ok }) => ok) ? 0 : 1;
  },
});

async function probeAll(config: Config): Promise<Probed[]> {
  const { probes, close } = createProbes(config);
  try {
    return await Promise.all(probes.map(run));
  } finally {
    await close();
  }
}

async function run({ part, probe }: Probe): Promise<Probed> {
  try {
    return { part, ok: true, detail: await probe() };
  } catch (error) {
    return { part, ok: false, detail: explain(error) };
  }
}

function asText(effective: readonly Effective[], found: readonly Probed[]): string {
  const settings = effective.map(
    ({ name, value, origin }) => `${name}=${value ?? ""}`.padEnd(48) + `  # ${value ? origin : "not set"}\n`,
  );
  const width = Math.max(10, ...found.map(({ part }) => part.length));
  const rows = found.map(({ part, ok, detail }) =>
    [part.padEnd(width), ok ? "ok    " : "FAILED", detail].join("  "),
  );
  return `${settings.join("")}\n${rows.map((row) => `${row}\n`).join("")}`;
}
