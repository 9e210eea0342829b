/**
 * Which broker a simulated fleet publishes to. It may be given in a file, because every user of the host can read an
 * argument (`ps`).
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { keepSecret, masked } from "../core/text/mask.ts";
import { brokerSchemes } from "../core/net/mqtt-url.ts";
import { urlOf } from "../core/settings.ts";
import { type Context, option, UsageError, string } from "./command.ts";

const urlLike = (schemes: readonly string[], example: string) =>
  z.string().refine((s) => urlOf(schemes).safeParse(s).success, `must be a URL such as ${example}`);
const brokerUrl = () => urlLike(brokerSchemes, "mqtt://127.0.0.1:1883 (or mqtts, ws, wss)");

export const brokerOptions = {
  broker: option(
    "--broker <url>",
    "mqtt://, mqtts://, ws:// or wss://; with a user and password see --broker-file",
    () => brokerUrl().optional(),
  ),
  http: option(
    "--http <url>",
    "Instead of a broker: a gateway's HTTP ingest (INGEST_LISTEN), such as http://127.0.0.1:8081",
    () => urlLike(["http", "https"], "http://127.0.0.1:8081").optional(),
  ),
  brokerFile: string(
    "--broker-file <path>",
    "A file that holds the broker's URL, so that its password is not in the list of processes",
  ),
};

/** @throws UsageError, unless exactly one is named */
export function whichBroker(
  context: Context,
  {
    broker: url,
    brokerFile,
    http: httpUrl,
  }: Readonly<Record<"broker" | "brokerFile" | "http", string | undefined>>,
): string {
  if (httpUrl !== undefined) {
    if (url !== undefined || brokerFile !== undefined)
      throw new UsageError("--http replaces a broker: leave out --broker and --broker-file");
    return httpUrl;
  }
  if (url !== undefined && brokerFile !== undefined)
    throw new UsageError("--broker and --broker-file name two brokers: give one of them");
  if (brokerFile !== undefined) return urlIn(brokerFile);
  if (url === undefined)
    throw new UsageError(
      "--broker <url> is required, such as mqtt://127.0.0.1:1883; or --broker-file or --http",
    );
  keepSecret(url);
  if (masked(url) !== url)
    context.stderr(
      "warning: others can read the password of --broker in the list of processes: --broker-file <path> avoids that\n",
    );
  return url;
}

function urlIn(file: string): string {
  const read = brokerUrl().safeParse(readText(file));
  if (!read.success)
    throw new UsageError(`--broker-file ${file}: what it holds ${read.error.issues[0]?.message}`);
  keepSecret(read.data);
  return read.data;
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (cause) {
    throw new Error(`--broker-file ${file} cannot be read`, { cause });
  }
}
