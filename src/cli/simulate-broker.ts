/** Which broker a simulated fleet publishes to. An argument is read by every user of the host (`ps`), hence the file. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { keepSecret, masked } from "../core/mask.ts";
import { brokerSchemes } from "../core/mqtt-url.ts";
import { urlOf } from "../core/settings.ts";
import { type Context, type Option, UsageError, words } from "./command.ts";

const brokerUrl = z
  .string()
  .refine(
    (s) => urlOf(brokerSchemes).safeParse(s).success,
    "must be a URL such as mqtt://127.0.0.1:1883 (or mqtts, ws, wss)",
  );

const broker: Option<string | undefined> = {
  flags: "--broker <url>",
  help: "mqtt://, mqtts://, ws:// or wss://; with a user and password see --broker-file",
  schema: brokerUrl.optional(),
};

const http: Option<string | undefined> = {
  flags: "--http <url>",
  help: "In place of a broker: a gateway's HTTP ingest (INGEST_LISTEN), such as http://127.0.0.1:8081",
  schema: z
    .string()
    .refine(
      (s) => urlOf(["http", "https"]).safeParse(s).success,
      "must be a URL such as http://127.0.0.1:8081",
    )
    .optional(),
};

export const brokerOptions = {
  broker,
  http,
  brokerFile: words(
    "--broker-file <path>",
    "A file that holds the broker's URL, so that its password stands in no list of processes",
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
      throw new UsageError("--http takes the place of a broker: leave --broker and --broker-file out");
    return httpUrl;
  }
  if (url !== undefined && brokerFile !== undefined)
    throw new UsageError("--broker and --broker-file name two brokers: give one of them");
  if (brokerFile !== undefined) return urlIn(brokerFile);
  if (url === undefined)
    throw new UsageError("--broker <url> is needed, such as mqtt://127.0.0.1:1883, --broker-file or --http");
  keepSecret(url);
  if (masked(url) !== url)
    context.stderr(
      "warning: the password in --broker can be read in the list of processes: --broker-file <path> keeps it out\n",
    );
  return url;
}

function urlIn(file: string): string {
  const read = brokerUrl.safeParse(readText(file));
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
