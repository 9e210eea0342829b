/**
 * The command line: the table of commands, and the way from arguments to an exit code.
 *
 * commander splits the arguments and prints the help; it neither ends the process nor writes past the context, so
 * that a test sees everything and src/main.ts stays the only place that exits.
 */
import { wrapped } from "../config/print-settings.ts";
import { nearest } from "../config/unknown.ts";
import { CommanderError, Command as Words, Help } from "commander";
import { explain } from "../core/log/log.ts";
import { masked } from "../core/text/mask.ts";
import { commit, version } from "../version.ts";
import { backup } from "./backup.ts";
import { cache } from "./cache.ts";
import { check } from "./check/index.ts";
import {
  type Command,
  type CommandGroup,
  ConfigurationError,
  type Context,
  type Process,
  UsageError,
} from "./command.ts";
import { deadLetters } from "./review/dead-letters.ts";
import { demo } from "./demo/index.ts";
import { devices } from "./devices/index.ts";
import { withSettings } from "./environment.ts";
import { entryNames, topicHelp, topics } from "./help.ts";
import { health } from "./health.ts";
import { mappings } from "./mappings/index.ts";
import { events } from "./events.ts";
import { latest } from "./latest.ts";
import { rejects } from "./rejects.ts";
import { migrate } from "./migrate/index.ts";
import { OutputLost } from "./output.ts";
import { quarantine } from "./review/quarantine.ts";
import { run } from "./run.ts";
import { installOf } from "./service/install.ts";
import { completionOf } from "./shell/completion.ts";
import { manPage } from "./shell/man.ts";
import { uninstall } from "./service/uninstall.ts";
import { upgrade } from "./service/upgrade.ts";
import { settings } from "./settings.ts";
import { simulate } from "./simulate.ts";
import { status, top } from "./status/index.ts";
import { spool } from "./spool/index.ts";
import { printable } from "../core/text/terminal.ts";

/** Every command, in the order of the help. */
export const commands: readonly (Command | CommandGroup)[] = [
  run,
  demo,
  simulate,
  check,
  health,
  status,
  top,
  migrate,
  devices,
  latest,
  rejects,
  events,
  cache,
  settings,
  mappings,
  backup,
  spool,
  deadLetters,
  quarantine,
  installOf(() => manPage(commands)),
  upgrade,
  uninstall,
  completionOf(
    () => commands,
    () => Object.entries(allTopics),
  ),
];

const allTopics = {
  ...topics,
  man: { summary: "The manual page, for man(1)", print: () => manPage(commands) },
};

const exitCode = { done: 0, failed: 1, usage: 2, configuration: 78 };

/** @param argv the words after the program's name */
export async function execute(argv: readonly string[], process: Process): Promise<number> {
  const context = contextOf(process);
  let code = exitCode.done;
  const [first = ""] = argv;
  const asked = commands.filter(({ name }) => name === first);
  const program = describe(context, asked.length > 0 ? asked : commands, (result) => {
    code = result;
  });
  if (Object.hasOwn(allTopics, first)) program.showHelpAfterError(`See \`sluice help ${first}\`.`);
  try {
    await program.parseAsync([...argv], { from: "user" });
    return code;
  } catch (error) {
    return report(error, context);
  }
}

function contextOf(process: Process): Context {
  const stdout = (text: string) => process.stdout(printable(text));
  const exact = process.isOutputTerminal === true ? stdout : process.stdout;
  return {
    ...process,
    stdout,
    exact,
    drawn: process.stdout,
    stderr: (text) => process.stderr(printable(masked(text))),
  };
}

/** @param known the one that is asked for, or all: `run` need not hold the others for as long as it lasts */
function describe(
  context: Context,
  known: readonly (Command | CommandGroup)[],
  done: (code: number) => void,
): Words {
  const program = new Words("sluice")
    .description("On-site IoT ingest gateway: MQTT in, durable on local disk, exactly once into PostgreSQL.")
    .version(`sluice ${version} (${commit})`, "--version", "Print version and commit")
    .helpOption("-h, --help", "Print help")
    .helpCommand(false)
    .exitOverride()
    .configureHelp({ formatItem })
    .configureOutput({
      writeOut: context.stdout,
      writeErr: context.stderr,
      getOutHelpWidth: () => helpWidth(context),
      getErrHelpWidth: () => helpWidth(context),
    })
    .showHelpAfterError("See `sluice help`.");
  for (const entry of known) {
    const words = program.command(entry.name).description(entry.summary).helpCommand(false);
    hint(words);
    if ("run" in entry) attach(words, entry, context, done);
    else {
      for (const sub of entry.commands)
        attach(hint(words.command(sub.name).description(sub.summary)), sub, context, done);
      nameAll(words, entry);
    }
  }
  attachHelp(program, context);
  return program;
}

/** Beside flags a text has at least so much, or it stands below them. */
const besideCharsMin = 40;

/** commander alone neither wraps a column that is too narrow for it, nor puts it anywhere else. */
function formatItem(term: string, termChars: number, text: string, help: Help): string {
  const width = help.helpWidth ?? besideCharsMin;
  const isNarrow = text !== "" && width - termChars - 4 < besideCharsMin;
  return isNarrow
    ? `  ${term}\n${wrapped(text, "    ", width).trimEnd()}`
    : Help.prototype.formatItem.call(help, term, termChars, text, help);
}

/** After a mistake, points to the help of the command that was used. */
function hint(words: Words): Words {
  const group = words.parent === null || words.parent.parent === null ? "" : `${words.parent.name()} `;
  return words.showHelpAfterError(`See \`sluice ${group}${words.name()} --help\`.`);
}

/** Of few names all are better than the nearest by its letters: to `create`, which is `add` here, that was `update`. */
function nameAll(words: Words, { name, commands: parts }: CommandGroup): void {
  const names = parts.map((part) => part.name).join(", ");
  words
    .showSuggestionAfterError(false)
    .showHelpAfterError(`\`sluice ${name}\` knows ${names}: see \`sluice ${name} --help\`.`);
}

/** Neither too narrow to read nor so wide that lines are hard to follow. */
function helpWidth({ columns = 100 }: Context): number {
  return Math.min(120, Math.max(40, columns));
}

function attach(words: Words, command: Command, context: Context, done: (code: number) => void): void {
  const names = Object.keys(command.arguments);
  for (const [name, help] of Object.entries(command.arguments)) words.argument(`<${name}>`, help);
  for (const { flags, help } of Object.values(command.options)) words.option(flags, help);
  words.action(async (...given: unknown[]) => {
    const args = Object.fromEntries(names.map((name, i) => [name, String(given[i])]));
    try {
      // As a shell makes of a variable that is not set: a backup would go into the directory that one is in.
      const empty = names.find((name) => args[name] === "");
      if (empty !== undefined) throw new UsageError(`<${empty}> is empty`);
      const { envFile, ...options } = words.opts<{ envFile?: string }>();
      // What `health` says is shown of a container every 30 seconds.
      const isSaid = command.name !== "health";
      const again = () => (command.readsSettings ? withSettings(context, envFile, isSaid) : context);
      done(await command.run({ ...again(), again }, args, options));
    } catch (error) {
      if (error instanceof UsageError) words.error(`error: ${error.message}`, { exitCode: exitCode.usage });
      throw error;
    }
  });
}

/** Adds `help <command>` and `help <topic>`; commander's own help does not know topics. */
function attachHelp(program: Words, context: Context): void {
  const list = Object.entries(allTopics).map(([name, { summary }]) => `  ${name.padEnd(14)}${summary}`);
  const words = program
    .command("help")
    .description("Print help on a command or a topic")
    .argument("[topic...]", "a command, one of the topics, a setting, or a reason of a reject")
    .option("--json", "print a topic as JSON, if it has that form")
    .addHelpText("after", `\nTopics:\n${list.join("\n")}`);
  const topicNames = `Topics of \`sluice help\`: ${Object.keys(allTopics).join(", ")}.`;
  program.addHelpText("after", `\n${wrapped(topicNames, "", helpWidth(context)).trimEnd()}`);
  words.action((asked: readonly string[], { json = false }: { json?: boolean }) => {
    const topic = topicHelp(allTopics, asked.join(" "), { asJson: json, width: helpWidth(context) });
    if (topic !== undefined) return context.stdout(topic);
    let found = program;
    for (const word of asked) {
      const next = found.commands.find((command) => command.name() === word);
      if (next === undefined) throw new UsageError(noHelpOn(asked.join(" "), program));
      found = next;
    }
    found.outputHelp();
  });
}

function noHelpOn(asked: string, { commands: known }: Words): string {
  const names = known.flatMap((one) => [
    one.name(),
    ...one.commands.map((inner) => `${one.name()} ${inner.name()}`),
  ]);
  const meant = nearest(asked, [...Object.keys(allTopics), ...names, ...entryNames]);
  return `there is no help on "${asked}"${meant === undefined ? "" : `; did you mean ${meant}?`}`;
}

function report(error: unknown, context: Context): number {
  if (error instanceof CommanderError)
    return error.code === "commander.help" || error.exitCode !== 0 ? exitCode.usage : exitCode.done;
  if (error instanceof UsageError) {
    context.stderr(`error: ${error.message}\nSee \`sluice help\`.\n`);
    return exitCode.usage;
  }
  if (error instanceof ConfigurationError) {
    context.stderr(error.message);
    return exitCode.configuration;
  }
  if (!(error instanceof OutputLost && error.isUnread)) context.stderr(`error: ${explain(error)}\n`);
  return exitCode.failed;
}
