/** The cursor of lists that are ordered by when a device was heard: opaque to its reader, and no secret. */
import { z } from "zod";
import type { SeenDevice } from "../core/recent.ts";

export function cursorText({ tenantId, deviceId, seenMs }: SeenDevice): string {
  return Buffer.from(JSON.stringify([seenMs, tenantId, deviceId])).toString("base64url");
}

const cursorSchema = z.tuple([z.number(), z.string(), z.string()]);

function cursorOf(text: string): SeenDevice | undefined {
  try {
    const [seenMs, tenantId, deviceId] = cursorSchema.parse(
      JSON.parse(Buffer.from(text, "base64url").toString("utf8")),
    );
    return { seenMs, tenantId, deviceId };
  } catch {
    return undefined;
  }
}

/** In a query. */
export const cursorParameter = z
  .string()
  .transform(
    (given, context) => cursorOf(given) ?? context.addIssue("must be one that was answered") ?? z.NEVER,
  )
  .optional();
