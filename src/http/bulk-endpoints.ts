/**
 * Imports and exports devices over HTTP, as streams: neither the gateway nor a script needs to hold the fleet in
 * memory. The answer to an import is held in memory, because it may contain tokens; hence the bound on its lines.
 */
import { z } from "zod";
import type { DeviceStore, NewDevice } from "../core/device.ts";
import { RegistryError } from "../admin/registry-error.ts";
import { filterOf, filterQuery } from "../admin/device-columns.ts";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { problem } from "./problem.ts";
import {
  mediaTypes,
  readDevices,
  writeDevices,
  type Format,
  type ReadLine,
} from "../admin/bulk/device-files.ts";
import {
  importDevices,
  importResult,
  noResult,
  removeUntold,
  type ImportResult,
} from "../admin/bulk/import.ts";

export const importPath = "/admin/devices/import";
export const importBytesMax = 67_108_864;
const importLinesMax = 100_000;
/** How many of the added devices the audit log names; it counts all of them. */
const namedInAuditMax = 100;

const media = Object.values(mediaTypes);
const flag = z
  .enum(["true", "false"])
  .default("false")
  .transform((text) => text === "true");

export function bulkEndpoints(devices: DeviceStore): readonly Endpoint[] {
  return [
    endpoint({
      method: "POST",
      path: importPath,
      id: "devices.import",
      summary: `Register the devices of a file, at most ${importLinesMax} lines per request; devices that exist stay unchanged`,
      query: z.strictObject({
        make_tokens: flag.describe(
          "Make tokens for devices without a provision_token_hash, and show them in the answer.",
        ),
      }),
      stream: media,
      answer: { help: "What became of the lines.", schema: importResult },
      problems: [413, 415, 422, 503],
      async handle({ query, request, note }) {
        const format = formatOf(request.headers.get("content-type") ?? "");
        if (format === undefined) return problem(415, `The body must be ${media.join(" or ")}.`);
        const result = noResult();
        const named: string[] = [];
        const added = (some: readonly NewDevice[]) => {
          const room = some.slice(0, namedInAuditMax - named.length);
          named.push(...room.map(({ tenantId, deviceId }) => `${tenantId}/${deviceId}`));
          if (request.signal.aborted) throw new Error("the client left");
        };
        const found = atMost(
          readDevices(bounded(request.body ?? new Blob().stream()), format),
          importLinesMax,
        );
        try {
          await importDevices(found, devices, { result, makeTokens: query.make_tokens, added });
        } catch (error) {
          return endedBy(error, result);
        } finally {
          note({ read: result.read, added: result.added, made_tokens: result.tokens.length, devices: named });
          if (request.signal.aborted) {
            await removeUntold(devices, result, result.tokens);
            note({ removed_again: result.tokens.length });
          }
        }
        return result;
      },
    }),
    endpoint({
      method: "GET",
      path: "/admin/devices/export",
      id: "devices.export",
      summary: "Export all devices that match, without the hashes of their tokens",
      query: z.strictObject({ ...filterQuery, format: z.enum(["csv", "ndjson"]).default("ndjson") }),
      answer: {
        help: "A stream of lines; in NDJSON each is a device as GET /admin/devices shows it.",
        media,
      },
      problems: [503],
      async handle({ query }) {
        const text = writeDevices(devices, filterOf(query), query.format);
        return new Response(await begun(text), {
          headers: {
            "content-type": `${mediaTypes[query.format]}; charset=utf-8`,
            "content-disposition": `attachment; filename="devices.${query.format}"`,
          },
        });
      },
    }),
  ];
}

function formatOf(contentType: string): Format | undefined {
  const type = contentType.split(";")[0]?.trim().toLowerCase();
  return type === mediaTypes.csv ? "csv" : type === mediaTypes.ndjson ? "ndjson" : undefined;
}

class TooMuch extends Error {}

async function* bounded(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > importBytesMax) throw new TooMuch(`${importBytesMax} bytes`);
    yield chunk;
  }
}

async function* atMost(found: AsyncIterable<ReadLine>, linesMax: number): AsyncGenerator<ReadLine> {
  let count = 0;
  for await (const read of found) {
    if (++count > linesMax) throw new TooMuch(`${linesMax} lines`);
    yield read;
  }
}

/**
 * The answer to an import that ended early: it contains what was done by then, including the tokens made, which are
 * shown nowhere else.
 */
function endedBy(error: unknown, result: ImportResult): Response {
  const members = { ...result };
  if (error instanceof TooMuch) {
    const detail = `One request may hold no more than ${error.message}; what came before is imported.`;
    return problem(413, detail, { members });
  }
  if (error instanceof RegistryError) return problem(error.status, error.message, { members });
  const why = error instanceof Error ? error.message : "cannot be read";
  return problem(422, `The rest of the file cannot be read; ${why}.`, { members });
}

/**
 * Reads the first piece before the answer begins, so that a registry that is away gives a 503 and not half a file.
 */
async function begun(text: AsyncGenerator<string>): Promise<ReadableStream<Uint8Array>> {
  const encoder = new TextEncoder();
  let next: IteratorResult<string> | undefined = await text.next();
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = next ?? (await text.next());
        next = undefined;
        if (done === true) controller.close();
        else controller.enqueue(encoder.encode(value));
      } catch {
        // Ends the connection, so that the part that was sent does not look complete. Bun prints this error, so it must not
        // quote the database.
        controller.error(new Error("an export was cut short: the registry did not answer"));
      }
    },
    async cancel() {
      await text.return(undefined);
    },
  });
}
