/** `sluice help man`: the manual page in roff (man(7)), made of the tables of commands and settings. */
import { allSettings } from "../../config/tables.ts";
import { version } from "../../version.ts";
import type { Command, CommandGroup } from "../command.ts";
import { paths } from "../service/host.ts";

type Entry = Command | CommandGroup;

export function manPage(commands: readonly Entry[]): string {
  return [
    `.TH SLUICE 8 "" "Sluice ${version}" "System administration"`,
    ".SH NAME",
    String.raw`sluice \- on-site IoT ingest gateway`,
    ".SH SYNOPSIS",
    ".B sluice\n.I command\n.RI [ options ]",
    ".SH DESCRIPTION",
    said(
      "Takes device messages over MQTT, HTTP or Kafka, decides whether each device is who it claims to be, writes every message to its own disk before it acknowledges it, and delivers it to PostgreSQL, InfluxDB, Redis and Kafka, each at its own pace.",
    ),
    ".SH COMMANDS",
    ...commands.flatMap((entry) =>
      "run" in entry
        ? [commandText("", entry)]
        : entry.commands.map((one) => commandText(`${entry.name} `, one)),
    ),
    ".SH ENVIRONMENT",
    said(
      "Settings come from the environment; those that are secret may stand in a file that NAME_FILE names.",
    ),
    ...allSettings.map(({ name, default: fallback, help }) =>
      [".TP", `.B ${escaped(name)}`, said(`${help}${fallback ? ` Default: ${fallback}.` : ""}`)].join("\n"),
    ),
    ".SH FILES",
    ...[
      [paths.settings, "The service's settings."],
      [paths.credentials, "A file per secret: database-url for DATABASE_URL. Only root can read it."],
      [paths.unit, "Its unit."],
      [paths.state, "Its spool, its local store and its audit log."],
    ].map(([path = "", what = ""]) => [".TP", `.I ${escaped(path)}`, said(what)].join("\n")),
    ".SH EXIT STATUS",
    ...[
      ["0", "Done."],
      ["1", "Not done, and why is said."],
      ["2", "The words given cannot be meant."],
      ["78", "The settings cannot be meant: every mistake is named, and nothing was changed."],
    ].map(([code = "", what = ""]) => [".TP", `.B ${code}`, said(what)].join("\n")),
    ".SH SEE ALSO",
    ".BR systemd.exec (5),\n.BR journalctl (1)",
    "",
  ].join("\n");
}

function commandText(group: string, { name, summary, arguments: given, options }: Command): string {
  const words = Object.keys(given).map((argument) => ` <${argument}>`);
  return [
    ".TP",
    `.B ${escaped(`${group}${name}${words.join("")}`)}`,
    said(`${summary}.`),
    ...Object.values(options).flatMap(({ flags, help }) => [
      ".RS\n.TP",
      `.B ${escaped(flags)}`,
      said(help),
      ".RE",
    ]),
  ].join("\n");
}

/** A line of text; one that begins with a dot or an apostrophe would be a command for roff. */
function said(text: string): string {
  const line = escaped(text);
  return /^[.']/.test(line) ? String.raw`\&${line}` : line;
}

function escaped(text: string): string {
  return text
    .replaceAll("\\", String.raw`\e`)
    .replaceAll("-", String.raw`\-`)
    .replaceAll("\n", " ");
}
