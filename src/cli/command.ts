/**
 * The shape of a command: one file and one line in the table (index.ts).
 *
 * An option is one row with its own schema, so that a command gets typed values and never reads argv; commander only
 * splits the words and prints the help. `run` returns the exit code: 0 done, 1 not; usage (2) and configuration (78)
 * mistakes are thrown. Results go to standard output, everything said to people about them to standard error.
 */
import { z } from "zod";
import type { Place } from "../config/read.ts";
import type { Log, LogLevel } from "../core/log.ts";

/** What there is of the process. main.ts gives the real one, a test its own. */
export interface Process {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Those of `env` that were taken from a file of settings, and where they stand. An unknown name there is a mistake. */
  readonly written?: ReadonlyMap<string, Place>;
  /** Who it runs as; root is shown what a unit of this host gives the service. Absent: not asked. */
  readonly uid?: number | undefined;
  /** For tests: in place of / . */
  readonly root?: string;
  /** Writes as it is, all of it: the newline is the caller's. @throws OutputLost, which ends the command with 1 */
  readonly stdout: (text: string) => void;
  /** The same, but never throws: what is said about the work does not end it. */
  readonly stderr: (text: string) => void;
  /** Aborts at the first SIGINT or SIGTERM: finish what is held and return. */
  readonly signal: AbortSignal;
  /** Standard error is a terminal, where a line may be written over. */
  readonly isTerminal?: boolean;
  /** Standard output is one. */
  readonly isOutputTerminal?: boolean;
  /** Its width in characters. */
  readonly columns?: number | undefined;
  /** `fd` 1 for a service whose log is its output, 2 where standard output holds the result. */
  readonly createLog: (level: LogLevel, fd: 1 | 2) => Log;
}

/** What a command may touch: the process, where `stdout` and `stderr` escape what a terminal would obey. */
export interface Context extends Process {
  /** Lines for another program, byte for byte; they are escaped only if standard output is a terminal. @throws OutputLost */
  readonly exact: (text: string) => void;
  /** A picture for a terminal, with colours and moves of our own: whatever came from outside was escaped by who drew it. @throws OutputLost */
  readonly drawn: (text: string) => void;
}

export interface Option<T> {
  /** As commander wants them: "--json", "--seconds <n>". */
  readonly flags: string;
  readonly help: string;
  /** Over what commander hands on: text, true for a flag without value, undefined where absent. */
  readonly schema: z.ZodType<T>;
}
type Options = Readonly<Record<string, Option<unknown>>>;
type OptionValues<O> = { readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never };
/** Name → one sentence; all are required, in this order. */
type Arguments = Readonly<Record<string, string>>;

export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly arguments: Arguments;
  readonly options: Options;
  run(
    context: Context,
    args: Readonly<Record<string, string>>,
    raw: Readonly<Record<string, unknown>>,
  ): Promise<number>;
}

/** A word before other commands: `devices add`. */
export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
  readonly commands: readonly Command[];
}

/** The words given cannot be meant: exit code 2. */
export class UsageError extends Error {}

/** The settings given cannot be meant: exit code 78 (EX_CONFIG of sysexits.h). The message lists every mistake. */
export class ConfigurationError extends Error {}

/** The key of an option row must be its long flag in camel case (`rotateToken` for --rotate-token), as commander has it. */
export function command<A extends Arguments, O extends Options>(spec: {
  name: string;
  summary: string;
  arguments?: A;
  options?: O;
  run(
    context: Context,
    input: { args: { readonly [K in keyof A]: string }; options: OptionValues<O> },
  ): Promise<number>;
}): Command {
  const { name, summary } = spec;
  const options: Options = spec.options ?? {};
  return {
    name,
    summary,
    arguments: spec.arguments ?? {},
    options,
    run: (context, args, raw) =>
      spec.run(context, {
        args: args as { [K in keyof A]: string },
        options: readOptions(options, raw) as OptionValues<O>,
      }),
  };
}

function readOptions(options: Options, raw: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [key, { flags, schema }] of Object.entries(options)) {
    const read = schema.safeParse(raw[key]);
    if (!read.success)
      throw new UsageError(`${flags} ${read.error.issues[0]?.message ?? "is not understood"}`);
    values[key] = read.data;
  }
  return values;
}

/** `--json`: present or not. */
export function toggle(flags: string, help: string): Option<boolean> {
  return { flags, help, schema: z.literal(true).optional().transform(Boolean) };
}

/** Text that may be absent. */
export function words(flags: string, help: string): Option<string | undefined> {
  return { flags, help, schema: z.string().optional() };
}

/** Text that must be there. */
export function neededWords(flags: string, help: string): Option<string> {
  return { flags, help, schema: z.string("is needed") };
}

/** A number, whole unless `fraction`, with a default. */
export function number(
  flags: string,
  help: string,
  spec: { default: number; min?: number; max?: number; fraction?: boolean },
): Option<number> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER, fraction = false } = spec;
  const kind = fraction ? "a number" : "a whole number";
  const wanted =
    max === Number.MAX_SAFE_INTEGER ? `${kind}, ${min} or more` : `${kind} from ${min} to ${max}`;
  const schema = z
    .string()
    .regex(fraction ? /^\d{1,12}(\.\d+)?$/ : /^\d{1,16}$/, `must be ${wanted}`)
    .transform(Number)
    .refine((n) => n >= min && n <= max, `must be ${wanted}`)
    .optional()
    .transform((n) => n ?? spec.default);
  return { flags, help: `${help} (default ${spec.default})`, schema };
}
