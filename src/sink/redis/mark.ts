/**
 * The mark of a gateway in Redis: the seq of what it wrote there last, by which a Redis that lost its memory is known. While that is
 * filled again the mark says so, and a crash before the end begins anew.
 */
import type { Redis } from "../../redis/redis-client.ts";
import { markScript } from "./scripts.ts";

/** In place of the mark until all is filled: a mark that is neither was emptied meanwhile. */
export const filling = "filling";

export function createMark(client: Pick<Redis, "pipeline" | "script">, key: string) {
  /** @returns whether it was still `from` */
  async function move(from: string, to: number): Promise<boolean> {
    return (await client.script(markScript, [key], [from, String(to)])) === 1;
  }

  return {
    move,
    beginFilling: () => client.pipeline([["SET", key, filling]]),
    /** @param written what was written last, as it is when it is asked @returns whether it was not emptied meanwhile */
    async endFilling(written: () => number): Promise<boolean> {
      let mark = written();
      const isFilled = await move(filling, mark);
      // A batch that was on its way may have found it filling still, and left the mark to us.
      for (let isOurs = isFilled; isOurs && mark !== written();) {
        const to = written();
        isOurs = await move(String(mark), to);
        mark = to;
      }
      return isFilled;
    },
  };
}
