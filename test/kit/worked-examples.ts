/** The worked examples of docs/mappings.md, as the tests take them: word for word. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface WorkedExample {
  readonly name: string;
  readonly topic: string;
  readonly payload: string;
  /** As it stands in the file of mappings, below the top. */
  readonly mapping: string;
  readonly events: readonly {
    readonly event: string;
    readonly metrics: string;
    /** A line, or `none (why)`. */
    readonly line: string;
  }[];
}

export const arrival = "2026-11-21T02:07:03.000Z";
/** The device that proved itself at CONNECT. */
export const connected = { tenantId: "acme", deviceId: "press-3" };
export const site = "hall-7";

const page = readFileSync(join(import.meta.dir, "../../docs/mappings.md"), "utf8");

export const workedExamples: readonly WorkedExample[] = [
  ...page.matchAll(/^\*\*.*?\*\* \(`([^`]+)`\)\n\n```\n([\s\S]*?)\n```/gm),
].map(([, name = "", block = ""]) => exampleOf(name, block.split("\n")));

function exampleOf(name: string, lines: readonly string[]): WorkedExample {
  const after = (mark: string) =>
    lines.flatMap((line, i) =>
      line.startsWith(mark) ? [{ text: line.slice(6), next: lines[i + 1]?.slice(6) ?? "" }] : [],
    );
  const [{ text: topic, next: payload } = { text: "", next: "" }] = after("in    ");
  const mapping = lines.filter((line) => /^(?:map|   )   \| /.test(line)).map((line) => line.slice(8));
  const written = after("line  ").map(({ text }) => text);
  const events = after("event ").map(({ text, next }, i) => ({
    event: text,
    metrics: next,
    line: written[i] ?? "",
  }));
  return { name, topic, payload, mapping: `[[mapping]]\n${mapping.join("\n")}\n`, events };
}

/** The devices in it, to be registered. */
export function devicesIn(example: WorkedExample): string[] {
  return example.events.map(({ event }) => event.split(" / ")[1] ?? "");
}
