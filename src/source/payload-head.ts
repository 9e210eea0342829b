/** What a source keeps of a payload that is larger than is allowed: the judge rejects it by its size, and shows its beginning. */
import type { Message } from "../core/message.ts";

export const headBytes = 4096;

/** The payload of a message, or a copy of its beginning, so that the rest goes at once. */
export function boundedPayload(
  payload: Uint8Array,
  bytesMax: number,
): Required<Pick<Message, "payload" | "wholeBytes">> {
  if (payload.length <= bytesMax) return { payload, wholeBytes: undefined };
  return { payload: Buffer.from(payload.subarray(0, headBytes)), wholeBytes: payload.length };
}
