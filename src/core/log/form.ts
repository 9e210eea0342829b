/**
 * The form of a log line, by its reader: a person at a terminal, the journal, or a program.
 *
 * The reader is detected, not configured: a terminal is a terminal, and JOURNAL_STREAM names the descriptor that is
 * the journal's (systemd.exec(5)). For the journal a line carries its priority (sd-daemon(3)), so that `journalctl -p
 * warning` works. Rejected alternative: pino-pretty, because it undoes the escapes that keep a terminal from obeying
 * a device's text.
 */
import { fstatSync } from "node:fs";
import { isatty } from "node:tty";
import { styleText } from "node:util";
import { oneLine } from "../text/terminal.ts";

/** Turns one line of JSON, with its newline, into what is written. */
export type LogForm = (line: string) => string;

type Env = Readonly<Record<string, string | undefined>>;
type Style = Parameters<typeof styleText>[0];

/** Level → priority of syslog(3), and colour for people. */
const levels: Readonly<Record<string, { readonly priority: number; readonly style: Style }>> = {
  debug: { priority: 7, style: "dim" },
  info: { priority: 6, style: "green" },
  warn: { priority: 4, style: "yellow" },
  error: { priority: 3, style: "red" },
  fatal: { priority: 2, style: "red" },
};

export function logForm(fd: number, env: Env): LogForm {
  if (isatty(fd)) return forPeople(!env["NO_COLOR"] && env["TERM"] !== "dumb");
  return isJournal(fd, env["JOURNAL_STREAM"]) ? forJournal : forPrograms;
}

const forPrograms: LogForm = (line) => line;

const forJournal: LogForm = (line) => {
  const level = /^\{"level":"(\w+)"/.exec(line)?.[1] ?? "info";
  return `<${levels[level]?.priority ?? 6}>${line}`;
};

/** `time LEVEL message  key=value …`. Colours only if asked (https://no-color.org). */
export function forPeople(inColour: boolean): LogForm {
  const styled = (style: Style, text: string) =>
    inColour ? styleText(style, text, { validateStream: false }) : text;
  return (line) => {
    const { level = "info", time = "", message = "", ...rest } = JSON.parse(line) as Record<string, unknown>;
    const clock = new Date(String(time)).toTimeString().slice(0, 8);
    const name = styled(levels[String(level)]?.style ?? "reset", String(level).toUpperCase().padEnd(5));
    const details = Object.entries(rest).map(
      ([key, value]) => `${styled("dim", `${oneLine(key)}=`)}${worded(value)}`,
    );
    return `${[`${styled("dim", clock)} ${name} ${oneLine(String(message))}`, ...details].join("  ")}\n`;
  };
}

function worded(value: unknown): string {
  return oneLine(typeof value === "string" ? value : JSON.stringify(value));
}

/** The journal names device and inode of its stream. */
function isJournal(fd: number, stream: string | undefined): boolean {
  if (stream === undefined) return false;
  try {
    const { dev, ino } = fstatSync(fd);
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}
