/**
 * `sluice simulate`: publishes the messages of a simulated fleet to any broker.
 *
 * It is the sender's half of a reconciliation: the summary says how many messages the broker acknowledged, per
 * verdict that the gateway must have given. `--print-registry` prints the rows that make the fleet known to the
 * registry.
 */
import { isLevel } from "../core/topic-level.ts";
import { z } from "zod";
import { explain } from "../core/log/log.ts";
import { faultNames, faultOf, parseFaults } from "../simulator/fault.ts";
import { createFleet, type Fleet } from "../simulator/fleet.ts";
import { publishFleet, type PublishResult } from "../simulator/publisher.ts";
import { registryCsv, registrySql } from "../simulator/registration.ts";
import { command, type Context, number, option, toggle } from "./command.ts";
import { jsonLine, progressLine, table } from "./report.ts";
import { brokerOptions, whichBroker } from "./simulate-broker.ts";

const drainMs = 10_000;

const options = {
  ...brokerOptions,
  devices: number("--devices <n>", "Devices that may send", { default: 25, min: 1, max: 1_000_000 }),
  tenants: option("--tenants <names>", "Tenants that the devices belong to, in turn (default demo)", tenants),
  rate: number("--rate <n>", "Messages per second; 0: as fast as the broker acknowledges", {
    default: 50,
    fraction: true,
  }),
  seconds: number("--seconds <n>", "Stop after this many seconds; 0: at Ctrl-C", {
    default: 0,
    fraction: true,
  }),
  count: number("--count <n>", "Stop after this many messages; 0: no limit", { default: 0 }),
  qos: number("--qos <n>", "MQTT quality of service", { default: 1, max: 2 }),
  seed: number("--seed <n>", "The same seed gives the same devices, tokens and messages", { default: 1 }),
  faults: faultShares("none"),
  mqtt: option(
    "--mqtt <version>",
    "MQTT version, 5 or 3.1.1 (default: 5, or 3.1.1 if the broker refuses that)",
    () =>
      z
        .enum(["5", "3.1.1"], "must be 5 or 3.1.1")
        .optional()
        .transform((version) => (version === undefined ? undefined : version === "5" ? 5 : 4)),
  ),
  connections: number("--connections <n>", "Connections that the devices share", {
    default: 4,
    min: 1,
    max: 10_000,
  }),
  window: number("--window <n>", "The most messages without an answer", {
    default: 1000,
    min: 1,
    max: 60_000,
  }),
  // Two runs at one broker must not share client ids: the broker would disconnect one for the other.
  clientId: option("--client-id <prefix>", "How client ids begin (default: different in every run)", () =>
    z.string().default(() => `sluice-sim-${crypto.randomUUID().slice(0, 8)}`),
  ),
  printRegistry: option(
    "--print-registry <form>",
    "Print the fleet as rows of device_registry, sql or csv, and publish nothing",
    () => z.enum(["sql", "csv"], "must be sql or csv").optional(),
  ),
  json: toggle("--json", "Print the summary as JSON"),
};

export const simulate = command({
  name: "simulate",
  summary: "Publish the messages of a simulated fleet to a broker, or POST them to HTTP ingest",
  options,
  readsSettings: false,
  async run(context, { options: given }) {
    const fleet = createFleet(given);
    if (given.printRegistry) return printRegistry(context, fleet, given.printRegistry);
    const brokerUrl = whichBroker(context, given);
    const result = await publishFleet({
      brokerUrl,
      fleet,
      rate: given.rate,
      qos: given.qos === 0 ? 0 : given.qos === 1 ? 1 : 2,
      protocolVersion: given.mqtt,
      ...(given.seconds > 0 && { seconds: given.seconds }),
      ...(given.count > 0 && { count: given.count }),
      connections: given.connections,
      window: given.window,
      drainMs,
      clientIdPrefix: given.clientId,
      signal: context.signal,
      onProgress: (counts) => context.stderr(`${progressLine(counts)}\n`),
    });
    context.stdout(given.json ? jsonLine(summary(result)) : describe(result));
    return result.acknowledged === result.sent ? 0 : 1;
  },
});

function printRegistry(context: Context, fleet: Fleet, form: "sql" | "csv"): number {
  const lines = form === "sql" ? registrySql(fleet.devices) : registryCsv(fleet.devices);
  for (const line of lines) context.exact(line);
  return 0;
}

/** The summary, with names as in GET /stats: snake_case, unit last. */
function summary(result: PublishResult): Record<string, unknown> {
  const { p50Ms, p95Ms, p99Ms, maxMs } = result.latency;
  return {
    sent: result.sent,
    acknowledged: result.acknowledged,
    refused: result.refused,
    unanswered: result.unanswered,
    elapsed_seconds: Math.round(result.elapsedMs) / 1000,
    ack_ms: { p50: micros(p50Ms), p95: micros(p95Ms), p99: micros(p99Ms), max: micros(maxMs) },
    expected: result.expected,
    ...(Object.keys(result.given).length > 0 && { given: result.given }),
  };
}

function describe(result: PublishResult): string {
  const { expected, given } = result;
  const isTold = Object.keys(given).length > 0;
  const rows = [...new Set([...Object.keys(expected), ...Object.keys(given)])].map((verdict) => [
    verdict,
    ...[expected, ...(isTold ? [given] : [])].map((counts) => String(counts[verdict] ?? 0)),
  ]);
  const { p50Ms, p99Ms, maxMs } = result.latency;
  return [
    progressLine(result),
    `acknowledged after ${ms(p50Ms)} ms (p50), ${ms(p99Ms)} ms (p99), ${ms(maxMs)} ms (maximum)`,
    "",
    table([["verdict", "expected", ...(isTold ? ["given"] : [])], ...rows]),
  ].join("\n");
}

/** Milliseconds to the microsecond. */
function micros(value: number | null): number | null {
  return value === null ? null : Math.round(value * 1000) / 1000;
}

function ms(value: number | null): string {
  return value === null ? "-" : value.toFixed(1);
}

function tenants() {
  return z
    .string()
    .default("demo")
    .transform((text, context): [string, ...string[]] => {
      const [first = "", ...more] = text.split(",");
      const names: [string, ...string[]] = [first, ...more];
      if (names.every((name) => isLevel(name) && !/\s/.test(name))) return names;
      context.addIssue("must be names separated by commas, without /, +, # and spaces");
      return z.NEVER;
    });
}

/** `--faults`, for `demo` too. */
export function faultShares(fallback: string) {
  const list = faultNames.map((name) => `${name} (${faultOf(name).expected})`).join(", ");
  const help = `all, none, or a list such as bad-token=0.02,oversize=0.01 (default ${fallback}): ${list}`;
  return option("--faults <list>", help, () =>
    z
      .string()
      .default(fallback)
      .transform((text, context) => {
        try {
          return parseFaults(text);
        } catch (error) {
          context.addIssue(explain(error));
          return z.NEVER;
        }
      }),
  );
}
