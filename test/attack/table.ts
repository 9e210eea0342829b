/** The attack table, for a terminal or (--markdown) for docs/attacks.md. */
import type { Row } from "../fault/fault.ts";
import type { Attack } from "./attack.ts";
import type { Noticed } from "./honest.ts";

export interface AttackRow {
  readonly attack: Attack;
  readonly row: Row;
  readonly noticed: Noticed | undefined;
}

const heads = [
  "attack",
  "who can",
  "what it costs him",
  "times",
  "PUBACK p99, calm → then",
  "/healthz longest",
  "CONNECT longest",
  "memory at most",
  "lost",
  "doubled",
];

export function formatAttacks(rows: readonly AttackRow[], markdown: boolean): string {
  const lines = [heads, ...rows.map(cells)];
  return markdown ? markdownOf(lines) : lines.map((line) => line.join(" · ")).join("\n");
}

function cells({ attack, row, noticed }: AttackRow): string[] {
  const { calm, during, peakBytes } = noticed ?? {};
  const arrow = (name: "pubackP99Ms" | "healthMs" | "connectMs") =>
    `${ms(calm?.[name])} → ${ms(during?.[name])}`;
  return [
    attack.says,
    attack.who,
    attack.costs,
    row.happened.toLocaleString("en"),
    arrow("pubackP99Ms"),
    arrow("healthMs"),
    arrow("connectMs"),
    peakBytes === undefined ? "?" : `${Math.round(peakBytes / 1024 / 1024)} MB`,
    String(row.lost),
    String(row.duplicate),
  ];
}

const ms = (value: number | undefined) =>
  value === undefined ? "?" : `${value.toFixed(value < 10 ? 1 : 0)} ms`;

function markdownOf([head = [], ...rest]: readonly string[][]): string {
  const line = (row: readonly string[]) => `| ${row.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => (i < 3 ? "---" : "---:"))), ...rest.map(line)].join("\n");
}
