/** A device as others see it: under the names of the registry's columns, over HTTP, in files and on the command line. */
import { idCharsMax, idPattern, storablePattern } from "../core/topic-level.ts";
import { z } from "zod";
import { toColumns, toFields } from "../core/columns.ts";
import type { Device, DeviceChange, DeviceFilter, NewDevice } from "../core/device.ts";
import { isRawJson } from "../core/text/json-digits.ts";
import { filterText } from "./filter-text.ts";

/** One level of a topic name (MQTT 5 §4.7) that tables and files can hold. */
const level = z
  .string()
  .max(idCharsMax)
  .regex(idPattern, "must be one level of an MQTT topic: not empty, without / + # and control characters");
/** A URL could not name it: whoever asks over HTTP takes `.` and `..` as directions, also percent-encoded. */
const newId = level.regex(/^(?!\.\.?$)/, "must not be . or .., which no URL can name");
const site = z.string().min(1).max(idCharsMax).regex(storablePattern, "must be without control characters");
const firmware = z
  .string()
  .max(idCharsMax)
  .regex(storablePattern, "must be without control characters")
  .nullable();
/** Any other word in the registry means "not active" too, but a slip here would silence a device. */
export const statuses = ["ACTIVE", "REVOKED", "PENDING"] as const;
const status = z.enum(statuses);
/** A number beyond 2^53 is an object for zod as well, if its digits are kept (`parseToPrint`). */
export const jsonObject = z.preprocess(
  (given) => (isRawJson(given) ? Number.MAX_VALUE : given),
  z.record(z.string(), z.unknown()),
);
/** One that PostgreSQL refuses would be found in the middle of an import, and nobody told which it was. */
const metadata = jsonObject.refine(
  isStorableJson,
  "must be without U+0000, halves of surrogate pairs and numbers beyond those of a double",
);
export const tokenHash = z
  .string()
  .regex(/^[0-9a-fA-F]{64}$/, "must be the SHA-256 of the token, 64 hex digits")
  .toLowerCase();

export const deviceIdColumns = z.strictObject({ tenant_id: level, device_id: level });

/** A device to register. A token is never taken, only its hash. */
export const newDeviceColumns = z.strictObject({
  tenant_id: newId,
  device_id: newId,
  site_id: site,
  status: status.optional(),
  provision_token_hash: tokenHash.optional(),
  previous_token_hash: tokenHash.optional(),
  previous_token_until: z.iso.datetime({ offset: true }).optional(),
  fw_version: firmware.optional(),
  metadata: metadata.optional(),
});

export const changeColumns = z
  .strictObject({ site_id: site, status, fw_version: firmware, metadata })
  .partial()
  .refine((change) => Object.keys(change).length > 0, "nothing to change");

export const deviceColumns = z.object({
  tenant_id: z.string(),
  device_id: z.string(),
  site_id: z.string(),
  status: z.string().describe("With ACTIVE the device may send; with anything else it may not."),
  token_set: z.boolean(),
  provisioned_at: z.string().nullable().describe("ISO 8601, UTC."),
  fw_version: z.string().nullable(),
  metadata: z.record(z.string(), z.unknown()).readonly(),
});

export type DeviceColumns = z.infer<typeof deviceColumns>;

export function columnsOf(device: Device): DeviceColumns {
  return toColumns(device);
}

export function deviceOf(columns: DeviceColumns): Device {
  return toFields(columns);
}

/** A previous token without the time until which it is good is ignored. */
export function newDeviceOf(columns: z.infer<typeof newDeviceColumns>): NewDevice {
  const { previousTokenHash, previousTokenUntil, ...device } = toFields(columns);
  const isWhole = previousTokenHash !== undefined && previousTokenUntil !== undefined;
  return { ...device, ...(isWhole && { previousTokenHash, previousTokenUntil }) };
}

export function changeOf(columns: z.infer<typeof changeColumns>): DeviceChange {
  return toFields(columns);
}

/** Of a token that is replaced. Ten years: a longer overlap is a mistake. */
export const graceSecondsMax = 315_360_000;

export const filterQuery = {
  tenant: filterText.optional().describe("Only of this tenant."),
  site: filterText.optional().describe("Only of this site."),
  status: filterText.optional().describe("Only with this status."),
  match: filterText.optional().describe("Only devices whose id contains this."),
};
type FilterQuery = Readonly<Partial<Record<keyof typeof filterQuery, string | undefined>>>;

export function filterOf(query: FilterQuery): Omit<DeviceFilter, "limit" | "after"> {
  return { tenantId: query.tenant, siteId: query.site, status: query.status, match: query.match };
}

function isStorableJson(given: object): boolean {
  let isStorable = true;
  const look = (of: unknown) => {
    if (
      typeof of === "string" ? of.includes("\0") || !of.isWellFormed() : of === Infinity || of === -Infinity
    )
      isStorable = false;
  };
  JSON.stringify(given, (key, value: unknown) => {
    look(key);
    look(value);
    return value;
  });
  return isStorable;
}
