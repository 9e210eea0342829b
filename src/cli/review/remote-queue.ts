/** A review queue of a running gateway, over HTTP. */
import { z } from "zod";
import { type ReviewQueue, type QueueSpec, outcomeSchema } from "../../admin/review/review-queue.ts";
import type { Context } from "../command.ts";
import { notFound, withQuery } from "../gateway-client.ts";
import { clientOf, type WhichGateway } from "../which-gateway.ts";

export function remoteQueue<Row, Full>(
  context: Context,
  which: WhichGateway,
  { path, row, full }: QueueSpec<Row, Full>,
): ReviewQueue<Row, Full> {
  // A request under way is waited for: an interrupt ends the command between two batches.
  const client = clientOf({ ...context, signal: new AbortController().signal }, which);
  const page = z.object({ rows: z.array(row) });

  const request = (method: string, at: string, body?: unknown, none?: number) =>
    client.request(method, `${path}${at}`, body, none);

  return {
    list: async (query) => page.parse(await request("GET", withQuery("", query))).rows,
    async show(id) {
      const found = await request("GET", `/${id}`, undefined, notFound);
      return found === undefined ? undefined : full.parse(found);
    },
    replay: async (selection) => outcomeSchema.parse(await request("POST", "/replay", selection)),
    discard: async (selection) => outcomeSchema.parse(await request("POST", "/discard", selection)),
  };
}
