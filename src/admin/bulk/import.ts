/**
 * Registers the devices of a file, a thousand at a time. A device that exists is left as it is, so that a file that ended
 * half way is simply imported again.
 */
import { z } from "zod";
import { toColumns, toFields } from "../../core/columns.ts";
import type { DeviceStore, NewDevice } from "../../core/device.ts";
import { newToken } from "../../core/token.ts";
import type { ReadLine } from "./device-files.ts";

const batchSize = 1_000;
/** Lines named in the answer; those beyond are only counted. */
const remarksMax = 1_000;

const remark = z.object({ line: z.number(), why: z.string() });
const token = z.object({ line: z.number(), tenant_id: z.string(), device_id: z.string(), token: z.string() });

export const importResult = z.object({
  read: z
    .number()
    .describe("Lines that were read, without empty ones and a heading. = added + existing + wrong"),
  added: z.number(),
  without_token: z
    .number()
    .describe("How many of those added have no token; their messages are rejected while REQUIRE_TOKEN is 1."),
  existing: z.number().describe("Already registered, and left unchanged."),
  wrong: z.number().describe("Lines that are not a device."),
  remarks: z.array(remark).describe(`The first ${remarksMax} lines of which no device was added, and why.`),
  tokens: z.array(token).describe("With make_tokens: shown in this answer only."),
});
export type ImportResult = z.infer<typeof importResult>;

export function noResult(): ImportResult {
  return { read: 0, added: 0, without_token: 0, existing: 0, wrong: 0, remarks: [], tokens: [] };
}

/**
 * @param result filled as it goes, so that it stands when this throws half way
 * @param makeTokens for devices that come without a hash
 * @param added called after each thousand, with those of them that were added; what it throws ends the import
 */
export async function importDevices(
  found: AsyncIterable<ReadLine>,
  devices: Pick<DeviceStore, "add">,
  {
    result,
    makeTokens,
    added,
  }: {
    result: ImportResult;
    makeTokens: boolean;
    added?: (some: readonly NewDevice[]) => void | Promise<void>;
  },
): Promise<void> {
  let batch: { line: number; device: NewDevice; token: string | undefined }[] = [];

  async function flush(): Promise<void> {
    const registering = batch;
    batch = [];
    if (registering.length === 0) return;
    const answers = await devices.add(registering.map(({ device }) => device));
    for (const [at, { line, device, token: made }] of registering.entries()) {
      result.read++;
      if (answers[at] !== true) {
        result.existing++;
        remarkOn(result, line, "is registered already");
        continue;
      }
      result.added++;
      if (!device.tokenHash) result.without_token++;
      const { tenantId, deviceId } = device;
      if (made !== undefined) result.tokens.push(toColumns({ line, tenantId, deviceId, token: made }));
    }
    await added?.(registering.filter((_, at) => answers[at] === true).map(({ device }) => device));
  }

  try {
    for await (const read of found) {
      if ("why" in read) {
        result.read++;
        result.wrong++;
        remarkOn(result, read.line, read.why);
        continue;
      }
      const made = makeTokens && !read.device.tokenHash ? newToken() : undefined;
      const device = made === undefined ? read.device : { ...read.device, tokenHash: made.tokenHash };
      batch.push({ line: read.line, device, token: made?.token });
      if (batch.length >= batchSize) await flush();
    }
  } finally {
    await flush();
  }
}

/** Removes the devices whose tokens nobody was told: they are of no use, and would be in the way when the file is imported again. */
export async function removeUntold(
  devices: Pick<DeviceStore, "remove">,
  result: ImportResult,
  made: ImportResult["tokens"],
): Promise<void> {
  for (const one of made) await devices.remove(toFields(one));
  result.added -= made.length;
  result.read -= made.length;
}

function remarkOn(result: ImportResult, line: number, why: string): void {
  if (result.remarks.length < remarksMax) result.remarks.push({ line, why });
}
