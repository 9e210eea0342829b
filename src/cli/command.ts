/**
 * The shape of a command: one file, and one line in the table (index.ts).
 *
 * An option is one row with its own schema, so that a command gets typed values and never reads argv; commander only
 * splits the words and prints the help. `run` returns the exit code: 0 if the work is done, 1 if not; mistakes in
 * usage (2) and configuration (78) are thrown. Results go to standard output; everything said to people about them
 * goes to standard error.
 */
import { z } from "zod";
import type { Place } from "../config/read.ts";
import type { Log, LogLevel } from "../core/log/log.ts";
import { readTimestamp } from "../judge/timestamp.ts";

/** The process as a command sees it. main.ts passes the real one, a test its own. */
export interface Process {
  readonly env: Readonly<Record<string, string | undefined>>;
  /**
   * The names of `env` that come from a file of settings, and where they stand. An unknown name there is a mistake.
   */
  readonly written?: ReadonlyMap<string, Place>;
  /** The user that it runs as; for root, settings come from the unit of this host too. Absent: unknown. */
  readonly uid?: number | undefined;
  /** For tests: a directory that is used instead of /. */
  readonly root?: string;
  /**
   * Writes all of the text, unchanged: the newline is the caller's. @throws OutputLost, which ends the command with 1
   */
  readonly stdout: (text: string) => void;
  /** The same for standard error, but never throws: a remark about the work must not end it. */
  readonly stderr: (text: string) => void;
  /** Aborts at the first SIGINT or SIGTERM: the command then finishes what it has begun, and returns. */
  readonly signal: AbortSignal;
  /** Calls `run` at each SIGHUP, which then no longer ends the process. Absent: no signal comes. */
  readonly onHangup?: (run: () => void) => void;
  /** True if standard error is a terminal, where a line may be overwritten. */
  readonly isTerminal?: boolean;
  /** True if standard output is a terminal. */
  readonly isOutputTerminal?: boolean;
  /** The terminal's width in characters. */
  readonly columns?: number | undefined;
  /** The size of the terminal now, in characters: it may be changed while a command draws. Absent: unknown. */
  readonly terminalSize?: () => { readonly columns: number; readonly rows: number };
  /** `fd`: 1 for a service whose log is its output, 2 if standard output holds the result. */
  readonly createLog: (level: LogLevel, fd: 1 | 2) => Log;
}

/** What a command may use: the process, with a `stdout` and a `stderr` that escape what a terminal would obey. */
export interface Context extends Process {
  /** Reads the settings again, the file of --env-file or the unit's included. @throws ConfigurationError */
  readonly again?: () => Context;
  /**
   * Writes lines for another program, byte for byte; they are escaped only if standard output is a terminal. @throws
   * OutputLost
   */
  readonly exact: (text: string) => void;
  /**
   * Writes a screen for a terminal, with our own colours and cursor movements; its author has escaped whatever came
   * from outside. @throws OutputLost
   */
  readonly drawn: (text: string) => void;
}

export interface Option<T> {
  /** In commander's form: "--json", "--seconds <n>". */
  readonly flags: string;
  readonly help: string;
  /** Checks what commander passes on: text, true for a flag without value, undefined if absent. */
  readonly schema: z.ZodType<T>;
}
type Options = Readonly<Record<string, Option<unknown>>>;
type OptionValues<O> = { readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never };
/** Argument name → one sentence; all are required, in this order. */
type Arguments = Readonly<Record<string, string>>;

export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly arguments: Arguments;
  readonly options: Options;
  readonly readsSettings: boolean;
  run(
    context: Context,
    args: Readonly<Record<string, string>>,
    raw: Readonly<Record<string, unknown>>,
  ): Promise<number>;
}

/** A word that stands before other commands: `devices add`. */
export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
  readonly commands: readonly Command[];
}

/** Thrown if the arguments are invalid: exit code 2. */
export class UsageError extends Error {}

/** Thrown if the settings are invalid: exit code 78 (EX_CONFIG of sysexits.h). The message lists every mistake. */
export class ConfigurationError extends Error {}

/** Where settings come from besides the environment. */
const envFile = string(
  "--env-file <path>",
  "Take settings also from this file, read as systemd reads EnvironmentFile=",
);

/**
 * The key of an option row must be its long flag in camel case (`rotateToken` for --rotate-token), because commander
 * names it so.
 * @param spec.readsSettings false: no setting matters to it, so none is read and no file of them is asked for
 */
export function command<A extends Arguments, O extends Options>(spec: {
  name: string;
  summary: string;
  arguments?: A;
  options?: O;
  readsSettings?: false;
  run(
    context: Context,
    input: { args: { readonly [K in keyof A]: string }; options: OptionValues<O> },
  ): Promise<number>;
}): Command {
  const { name, summary, readsSettings = true } = spec;
  const options: Options = { ...spec.options, ...(readsSettings && { envFile }) };
  return {
    name,
    summary,
    arguments: spec.arguments ?? {},
    options,
    readsSettings,
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

/** @param make the schema, once it is needed: of all commands one runs */
export function option<T>(flags: string, help: string, make: () => z.ZodType<T>): Option<T> {
  return {
    flags,
    help,
    get schema() {
      return make();
    },
  };
}

/** An option without a value: present or not. */
export function toggle(flags: string, help: string): Option<boolean> {
  return option(flags, help, () => z.literal(true).optional().transform(Boolean));
}

/** Of the commands whose answer has no form of its own for scripts. */
export const json = toggle("--json", "Print the answer as JSON");

/** An option whose value is text, and which may be absent; but not empty, as a shell makes it of a variable that is not set. */
export function string(flags: string, help: string): Option<string | undefined> {
  return option(flags, help, () => z.string().min(1, "is empty").optional());
}

/** An option whose value is text, and which is required. */
export function requiredString(flags: string, help: string): Option<string> {
  return option(flags, help, () => z.string("is required").min(1, "is empty"));
}

/** An option whose value is a number, whole unless `fraction`, with a default. */
export function number(
  flags: string,
  help: string,
  spec: { default: number; min?: number; max?: number; fraction?: boolean },
): Option<number> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER, fraction = false } = spec;
  const kind = fraction ? "a number" : "a whole number";
  const wanted =
    max === Number.MAX_SAFE_INTEGER ? `${kind}, ${min} or more` : `${kind} from ${min} to ${max}`;
  return option(flags, `${help} (default ${spec.default})`, () =>
    z
      .string()
      .regex(fraction ? /^\d{1,12}(\.\d+)?$/ : /^\d{1,16}$/, `must be ${wanted}`)
      .transform(Number)
      .refine((n) => n >= min && n <= max, `must be ${wanted}`)
      .optional()
      .transform((n) => n ?? spec.default),
  );
}

const units: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** An option whose value is a time; it is passed on in ISO 8601. Without a zone it is UTC, as all times that a command prints are. */
export function moment(flags: string, help: string): Option<string | undefined> {
  return option(flags, `${help}: ISO 8601, UTC unless it names a zone; or 90m, 24h, 7d ago`, () =>
    z
      .string()
      .transform((text, context) => {
        const [, count, unit = ""] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
        // A number alone, such as a year, would be read as seconds since 1970.
        const said = Number.isNaN(Number(text)) ? readTimestamp(text)?.ms : undefined;
        const ms = count === undefined ? said : Date.now() - Number(count) * (units[unit] ?? 0);
        if (ms !== undefined) return new Date(ms).toISOString();
        context.addIssue({
          code: "custom",
          message: "must be a time such as 2026-11-21T08:00:00Z, or 90m, 24h, 7d ago",
        });
        return z.NEVER;
      })
      .optional(),
  );
}
