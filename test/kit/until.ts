/** Waits by condition, with a generous deadline. */

/** Repeats `work` until it neither throws nor returns false. @returns its result */
export async function until<T>(work: () => T | Promise<T>, deadlineMs = 20_000): Promise<T> {
  for (const end = Date.now() + deadlineMs; ;) {
    try {
      const answer = await work();
      if (answer !== false) return answer;
      if (Date.now() > end) throw new Error(`not within ${deadlineMs} ms: ${String(work)}`);
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    await Bun.sleep(20);
  }
}
