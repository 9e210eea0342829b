/** `sluice help <topic>`: printed from the tables in the code, so that it cannot be out of date. */
import {
  helpSetting,
  helpSettings,
  sampleEnv,
  settingsJson,
  settingsTable,
  wrapped,
} from "../config/print-settings.ts";
import { allSettings } from "../config/tables.ts";
import { alertRules } from "./monitoring/alerts.ts";
import { grafanaDashboard } from "./monitoring/grafana.ts";
import { reasons } from "../judge/reasons.ts";
import { helpMappings } from "./mappings/help.ts";
import { ready } from "./mappings/ready.ts";
import { formatVersion } from "../spool/schema.ts";
import { commit, version } from "../version.ts";
import { licensesText } from "./shell/licenses.ts";
import { systemdUnit } from "./service/systemd-unit.ts";
import { UsageError } from "./command.ts";
import { jsonLine } from "./report.ts";

export interface Topic {
  readonly summary: string;
  /** For people. */
  print(width: number): string;
  /** The same for a script, if a script has a use for it. */
  json?(): unknown;
}

type Topics = Readonly<Record<string, Topic>>;

export const topics: Topics = {
  settings: { summary: "Every setting, its default and unit", print: helpSettings, json: settingsJson },
  reasons: { summary: "Why messages are rejected, and the remedy", print: helpReasons, json: () => reasons },
  environment: { summary: "A sample environment file with every setting", print: sampleEnv },
  markdown: { summary: "The settings as Markdown tables", print: settingsTable },
  alerts: { summary: "Alert rules for Prometheus", print: alertRules },
  grafana: { summary: "A dashboard to import into Grafana 10 or newer", print: grafanaDashboard },
  mappings: {
    summary: "How to take messages in other forms, with ready-made mappings",
    print: helpMappings,
    json: () => ready,
  },
  version: {
    summary: "Which Sluice this is, and the format of its spool",
    print: () => `sluice ${version} (${commit}), spool format ${formatVersion}\n`,
    json: () => ({ version, commit, spool_format: formatVersion }),
  },
  licenses: { summary: "The licences of everything in this program", print: licensesText },
  systemd: { summary: "A unit file for systemd", print: () => systemdUnit },
};

/** Returns undefined if there is no such topic. */
export function topicHelp(
  among: Topics,
  name: string,
  { asJson, width }: { asJson: boolean; width: number },
): string | undefined {
  const topic = Object.hasOwn(among, name) ? among[name] : entryNamed(name);
  if (topic === undefined || !asJson) return topic?.print(width);
  if (topic.json === undefined) throw new UsageError(`\`help ${name}\` has no form in JSON`);
  return jsonLine(topic.json());
}

/** What has an entry of its own. */
export const entryNames: readonly string[] = [
  ...allSettings.map(({ name }) => name),
  ...reasons.map(({ code }) => code),
];

/** One setting or reason, as the log, /stats or a reject names it. */
function entryNamed(words: string): Omit<Topic, "summary"> | undefined {
  const name = words.replace(/^(settings|reasons) /, "").toUpperCase();
  const reason = reasons.find(({ code }) => code === name);
  if (reason) return { print: (width) => helpReason(reason, width), json: () => reason };
  const setting = allSettings.find((row) => row.name === name);
  const json = () => settingsJson().find((row) => row["name"] === name);
  return setting && { print: (width) => helpSetting(setting, width), json };
}

function helpReasons(width: number): string {
  return reasons.map((reason) => helpReason(reason, width)).join("");
}

function helpReason({ code, help, remedy }: (typeof reasons)[number], width: number): string {
  return `${code}\n${wrapped(help, "    ", width)}${wrapped(remedy, "    ", width)}`;
}
