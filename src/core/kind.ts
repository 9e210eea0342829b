/**
 * A kind of sink or source, as its list has it (sink/index.ts, source/index.ts): its name, its settings and how to open one.
 * Configuration, help, docs/settings.md, `check`, `/stats`, `/metrics`, `/readyz` and the contract suites walk the lists, so that a further
 * kind is one file and one line. Rejected alternative: to register by an import's side effect, which no reader and no type sees.
 */
import type { Settings, Values } from "./settings.ts";

/** Name in `/stats` → what it means. */
export type Counts = Readonly<Record<string, string>>;

export interface Kind<S extends Settings = Settings> {
  /** Names it in the configuration, in `/stats` and in what the spool keeps of it. A sink and a source of one name share one table of settings. */
  readonly name: string;
  /** What its settings are called where people read them. */
  readonly title: string;
  readonly settings: S;
  /** What only this kind counts in `/stats`, a sentence each, for `/docs`. */
  readonly counts?: Counts;
  /** What is wrong with its settings taken together, a sentence each. */
  mistakes?(values: Values<S>, isAsked: boolean): string[];
}

/** Name → table of settings. */
export type TablesOf<K extends Kind> = { readonly [P in K as P["name"]]: P["settings"] };
/** Name → values of its settings, as a configuration holds them. */
export type ValuesOf<K extends Kind> = { readonly [P in K as P["name"]]: Values<P["settings"]> };

export function tablesOf<K extends Kind>(kinds: readonly K[]): TablesOf<K> {
  return Object.fromEntries(kinds.map(({ name, settings }) => [name, settings])) as TablesOf<K>;
}

export function titlesOf<K extends Kind>(kinds: readonly K[]): Readonly<Record<K["name"], string>> {
  const titles = kinds.map(({ name, title }) => [name, title] as const);
  return Object.fromEntries(titles) as Readonly<Record<K["name"], string>>;
}

/** What only some kinds count, each sentence with the kind that it is of. */
export function countsOf(kinds: readonly Kind[]): Counts {
  const all: Record<string, string> = {};
  for (const { name, counts = {} } of kinds)
    for (const [field, help] of Object.entries(counts))
      all[field] = [...(all[field] === undefined ? [] : [all[field]]), `${name}: ${help}`].join(" ");
  return all;
}

/** The values of one kind in a configuration that was read by `tablesOf`. */
export function valuesOf(config: object, { name }: Kind): Values<Settings> {
  return (config as Readonly<Record<string, Values<Settings>>>)[name] ?? {};
}
