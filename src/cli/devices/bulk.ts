/** `sluice devices import|export`: files of devices, line by line, whatever their size. */
import { createReadStream, statSync } from "node:fs";
import { explain } from "../../core/log/log.ts";
import { counted, number } from "../../core/text/readable.ts";
import { csvLine } from "../../admin/bulk/csv.ts";
import type { DeviceStore } from "../../core/device.ts";
import { readDevices, writeDevices, type Format } from "../../admin/bulk/device-files.ts";
import { importDevices, noResult, removeUntold, type ImportResult } from "../../admin/bulk/import.ts";
import { filterOf } from "../../admin/device-columns.ts";
import { z } from "zod";
import { command, type Context, option, type Option, toggle, UsageError } from "../command.ts";
import { progressOf, withProgress } from "../progress.ts";
import { common, filterOptions, withDevices } from "./device-options.ts";
import { addingTo } from "./unsure.ts";
import { registryOptions } from "../which-gateway.ts";
import { jsonLine } from "../report.ts";

export const importFile = command({
  name: "import",
  summary: "Register the devices of a CSV or NDJSON file; devices that exist stay unchanged",
  arguments: { file: "The file, with the field names of `devices export`; - for standard input" },
  options: {
    format: format("csv or ndjson (default: what the file begins like)"),
    makeTokens: toggle(
      "--make-tokens",
      "Make tokens for devices without a provision_token_hash, and print them to standard output",
    ),
    ...common,
  },
  run(context, { args: { file }, options }) {
    // Before the store is opened, which is made if it is missing.
    if (file !== "-") refuseIfNoFile(file);
    const register = async (devices: DeviceStore) => {
      // Bun's own stream of a file waits by epoll, which devices such as /dev/null refuse.
      const bytes = file === "-" ? Bun.stdin.stream() : createReadStream(file);
      const result = noResult();
      const progress = progressOf(context, (done) => `${counted(done, "line")} read`);
      const printTokens = tokenPrinter(context, options.json);
      const added = async () => {
        await printedOrRemoved(devices, result, printTokens);
        progress.step(result.read);
        if (context.signal.aborted) throw new Error("stopped; import the file again to continue");
      };
      let trouble: unknown;
      try {
        const adding = addingTo(context, devices, options.makeTokens);
        await importDevices(readDevices(bytes, options.format), adding, {
          result,
          makeTokens: options.makeTokens,
          added,
        });
      } catch (error) {
        trouble = error;
      }
      progress.end();
      return conclude(context, file, result, { trouble, asJson: options.json && !options.makeTokens });
    };
    return withDevices(context, options, register, true);
  },
});

export const exportFile = command({
  name: "export",
  summary: "Print all devices that match, for `devices import`; never tokens",
  options: {
    format: format("csv or ndjson (default ndjson)"),
    withHashes: toggle(
      "--with-hashes",
      "Include the hashes of their tokens, so that a registry can be moved; not with --gateway",
    ),
    ...filterOptions,
    ...registryOptions,
  },
  run(context, { options }) {
    if (options.withHashes && options.gateway !== undefined)
      throw new UsageError(
        "--with-hashes reads the registry itself, because a gateway gives no hashes: leave out --gateway",
      );
    return withDevices(context, options, async (devices, find) => {
      const hashes = options.withHashes ? find : undefined;
      // The devices themselves on the screen are progress enough.
      const isShown = context.isOutputTerminal === true;
      const where = isShown ? { ...context, isTerminal: false } : context;
      return withProgress(
        where,
        (done) => `${counted(done, "device")} read`,
        async (step) => {
          const counting = listCounting(devices, step);
          const kind = options.format ?? "ndjson";
          for await (const text of writeDevices(counting, filterOf(options), kind, hashes)) {
            if (context.signal.aborted) return 1;
            context.exact(text);
          }
          return 0;
        },
      );
    });
  },
});

function refuseIfNoFile(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw new UsageError(`there is no file ${path}`);
  if (found.isDirectory()) throw new UsageError(`${path} is a directory, and no file of devices`);
}

/** @param step is told how many devices were listed so far */
function listCounting(devices: DeviceStore, step: (count: number) => void): Pick<DeviceStore, "list"> {
  let count = 0;
  return {
    async list(filter) {
      const page = await devices.list(filter);
      step((count += page.length));
      return page;
    },
  };
}

function format(help: string): Option<Format | undefined> {
  return option("--format <format>", help, () =>
    z.enum(["csv", "ndjson"], "must be csv or ndjson").optional(),
  );
}

type MadeTokens = ImportResult["tokens"];

/**
 * Prints the tokens made so far and forgets them, so that a fleet's tokens are not all held at once. A device whose
 * token could not be printed would be of no use, so it is removed again.
 */
async function printedOrRemoved(
  devices: DeviceStore,
  result: ImportResult,
  print: (made: MadeTokens) => void,
): Promise<void> {
  const made = result.tokens.splice(0);
  try {
    print(made);
  } catch (error) {
    await removeUntold(devices, result, made);
    throw new Error(
      `${counted(made.length, "device was", "devices were")} removed again, because the tokens could not be printed`,
      {
        cause: error,
      },
    );
  }
}

function tokenPrinter(context: Context, asJson: boolean): (made: MadeTokens) => void {
  let isFirst = true;
  return (made) => {
    if (made.length === 0) return;
    const rows = made.map(({ tenant_id, device_id, token }) => ({ tenant_id, device_id, token }));
    const heading = isFirst && !asJson ? csvLine(["tenant_id", "device_id", "token"]) : "";
    isFirst = false;
    const lines = rows.map((row) => (asJson ? jsonLine(row) : csvLine(Object.values(row))));
    context.exact(heading + lines.join(""));
  };
}

function tokenlessWarning(count: number): string {
  const who =
    count === 1 ? "1 device that was added has" : `${number(count)} of the devices that were added have`;
  return `warning: ${who} no token, and while REQUIRE_TOKEN is 1 the messages of such a device are rejected; \`sluice devices rotate-token\` makes one, \`import --make-tokens\` makes them for all\n`;
}

function conclude(
  context: Context,
  file: string,
  result: ImportResult,
  { trouble, asJson }: { trouble: unknown; asJson: boolean },
): number {
  const { read, added, without_token: tokenless, existing, wrong, remarks } = result;
  if (asJson) context.stdout(jsonLine({ read, added, without_token: tokenless, existing, wrong, remarks }));
  else {
    for (const { line, why } of remarks) context.stderr(`${file}:${line}: ${why}\n`);
    context.stderr(
      `${counted(read, "line")}: ${number(added)} added, ${number(existing)} already registered, ${number(wrong)} wrong\n`,
    );
  }
  if (tokenless > 0) context.stderr(tokenlessWarning(tokenless));
  if (trouble !== undefined) context.stderr(`error: ${explain(trouble)}\n`);
  return trouble === undefined && wrong === 0 ? 0 : 1;
}
