/**
 * The file of mappings (MAPPINGS_FILE): read once, with every mistake reported with line and column, and not used at
 * all if there is one. The format is TOML, because it has comments and needs no quotes around keys. Its parser ends
 * at the first syntax mistake, so after one each [[mapping]] is parsed by itself, and those that are TOML are read as
 * if they were all, which reports their mistakes too.
 */
import { optionalString } from "../../core/settings.ts";
import { clashes, covers, levelsOf, subscribed } from "../../core/topic-filter.ts";
import { parse, TomlError } from "smol-toml";
import { compile, type Mapping } from "./compile.ts";
import { placesIn, type Place } from "./places.ts";
import { isName, specOf, type Defaults } from "./spec.ts";

export const mappingSettings = {
  file: optionalString({
    name: "MAPPINGS_FILE",
    unit: "path",
    help: "A TOML file that says how messages of other topics and forms than our own are read; `sluice help mappings` has ready ones (absent: our own alone).",
  }),
};

export interface MappingFile {
  /** The mappings that were parsed; if there is any mistake, none of them is used. */
  readonly mappings: readonly Mapping[];
  /** Mistakes: sentences that begin with line and column, in the order of the file. */
  readonly mistakes: readonly string[];
}

type Table = Readonly<Record<string, unknown>>;
type Report = (at: Place, text: string) => void;

export function readMappingFile(text: string): MappingFile {
  const found: { at: Place; text: string }[] = [];
  const report: Report = (at, what) => void found.push({ at, text: what });
  const mappings = readText(text, report);
  found.sort((a, b) => a.at.line - b.at.line || a.at.column - b.at.column);
  const mistakes = found.map(({ at, text: what }) => `line ${at.line}, column ${at.column}: ${what}`);
  return { mappings, mistakes };
}

function readText(text: string, report: Report): Mapping[] {
  try {
    return readTables(text, parse(text), report);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    readRest(text, error, report);
    return [];
  }
}

function readTables(text: string, file: Table, report: Report): Mapping[] {
  const places = placesIn(text);
  const defaults = readTop(file, (key, why) => report(places.top(key), `${key} ${why}`));
  const tables = Array.isArray(file["mapping"]) ? (file["mapping"] as Table[]) : [];
  if (file["mapping"] === undefined) report(places.top("mapping"), "there is no [[mapping]] in it");
  const mappings = tables.flatMap((table, i) => {
    const spec = specOf(table, defaults, (key, why) => report(places.of(i, key), `${key} ${why}`));
    return spec === undefined ? [] : [compile(spec, places.of(i, "topic"))];
  });
  tellOverlaps(mappings, report);
  return mappings;
}

const header = /^[ \t]*\[\[\s*mapping\s*\]\]/m;

/** Reports the mistakes of syntax, and then those of the mappings that have none. */
function readRest(text: string, whole: TomlError, report: Report): void {
  const sections = text.split(new RegExp(`(?=${header.source})`, "m"));
  let line = 0;
  const errors = sections.map((section) => {
    const error = syntaxErrorIn(section);
    if (error !== undefined) report(placeOf(error, line), tomlWords(error));
    line += section.split("\n").length - 1;
    return error;
  });
  const rest = sections.map((section, i) =>
    errors[i] === undefined ? section : section.replace(/[^\n]/g, ""),
  );
  const joined = rest.join("");
  const error = syntaxErrorIn(joined);
  if (error !== undefined) return report(placeOf(whole, 0), tomlWords(whole));
  const file: Table = parse(joined);
  // What a top that is no TOML says is not known.
  const isTopKnown = errors[0] === undefined || header.test(sections[0] ?? "");
  if (file["mapping"] !== undefined)
    readTables(joined, isTopKnown ? file : { ...file, tenant: "unknown" }, report);
}

function syntaxErrorIn(text: string): TomlError | undefined {
  try {
    parse(text);
    return undefined;
  } catch (error) {
    if (error instanceof TomlError) return error;
    throw error;
  }
}

const placeOf = ({ line, column }: TomlError, linesBefore: number): Place => ({
  line: line + linesBefore,
  column,
});

/** What the parser says of the slips that are made most, and the cure. */
const tomlCures = [
  [
    "invalid value",
    'text stands in quotes ("acme"), true and false do not and are written small; a key without a value is left out',
  ],
  ["control characters are not allowed in strings", "the quote that ends the text is missing, perhaps"],
] as const;

function tomlWords({ message }: TomlError): string {
  const [first = ""] = message.split("\n");
  const said = first.replace("Invalid TOML document", "no TOML");
  const cure = tomlCures.find(([slip]) => said.endsWith(slip))?.[1];
  return cure === undefined ? said : `${said}: ${cure}`;
}

function readTop(file: Table, wrong: (key: string, why: string) => void): Defaults {
  const { tenant, site, mapping, ...others } = file;
  for (const key of Object.keys(others))
    wrong(key, "is no key at the top of the file; they are tenant, site and [[mapping]]");
  if (mapping !== undefined && !(Array.isArray(mapping) && mapping.every((one) => typeof one === "object")))
    wrong("mapping", "is written [[mapping]], once per mapping");
  const name = (key: "tenant" | "site", value: unknown) => {
    if (value === undefined) return undefined;
    const isPlain = typeof value === "string" && value !== "" && !/[/{}]/.test(value);
    if (isPlain && isName(key, value)) return value;
    wrong(key, "must be a name: text without / + # and braces, for it holds for every message");
    // A placeholder, so that not every mapping is reported as lacking it.
    return key;
  };
  const [theTenant, theSite] = [name("tenant", tenant), name("site", site)];
  return {
    ...(theTenant !== undefined && { tenant: theTenant }),
    ...(theSite !== undefined && { site: theSite }),
  };
}

/** Those of Sluice's own form. */
export const ownTopics = levelsOf("tenant/+/device/+/+");

/** It must be obvious which of two mappings takes a topic; and a broker must not send a message twice. */
function tellOverlaps(mappings: readonly Mapping[], wrong: (mapping: Mapping, why: string) => void): void {
  for (const [i, later] of mappings.entries()) {
    const { levels } = later.topic;
    if (covers(ownTopics, levels))
      wrong(
        later,
        `topic "${later.topic.text}" is Sluice's own, which is asked first: leave this mapping out`,
      );
    else if (clashes(ownTopics, subscribed(levels)))
      wrong(
        later,
        `topic "${later.topic.text}" and Sluice's own tenant/{tenant}/device/{device}/{type} share some topics, and neither contains the other: make this one narrower`,
      );
    for (const earlier of mappings.slice(0, i)) {
      const why = conflict(earlier, later);
      if (why !== null) wrong(later, why);
    }
  }
}

function conflict(earlier: Mapping, later: Mapping): string | null {
  const [a, b] = [earlier.topic.levels, later.topic.levels];
  const where = `topic "${later.topic.text}" and that of line ${earlier.line}, "${earlier.topic.text}",`;
  if (covers(a, b))
    return covers(b, a)
      ? `${where} take the same messages: leave one of them out`
      : `${where} meet: the earlier takes all of the later's messages; put the narrower first`;
  const [x, y] = [subscribed(a), subscribed(b)];
  return clashes(x, y) || clashes(a, b)
    ? `${where} share some topics, and neither contains the other: make one narrower`
    : null;
}
