/** How far a long command has come, in one line that is written over, for a person at a terminal: nothing is written anywhere else. */
import type { Context } from "./command.ts";

export interface Progress {
  /** @param total absent: it is not known */
  step(done: number, total?: number): void;
  /** The line stays, and what is written next begins a new one. */
  end(): void;
}

const everyMs = 100;
const barChars = 24;

/** @param words how far it has come, such as "2 entries read" */
export function progressOf(
  { isTerminal, stderr }: Pick<Context, "isTerminal" | "stderr">,
  words: (done: number) => string,
): Progress {
  let [saidMs, last, said] = [Number.NEGATIVE_INFINITY, "", ""];
  if (isTerminal !== true) return { step() {}, end() {} };
  const say = () => {
    // Blanks cover what is left of a longer line.
    stderr(`\r${last.padEnd(said.length)}`);
    said = last;
  };
  return {
    step(done, total) {
      last = `${bar(done, total)}${words(done)}`;
      if (performance.now() - saidMs < everyMs) return;
      saidMs = performance.now();
      say();
    },
    end() {
      if (last === "") return;
      if (said !== last) say();
      stderr("\n");
    },
  };
}

/** Shows how far `work` has come, and ends the line however that ends, so that an error does not stand behind it. */
export async function withProgress<T>(
  context: Pick<Context, "isTerminal" | "stderr">,
  words: (done: number) => string,
  work: (step: Progress["step"]) => T | Promise<T>,
): Promise<T> {
  const progress = progressOf(context, words);
  try {
    return await work(progress.step);
  } finally {
    progress.end();
  }
}

function bar(done: number, total: number | undefined): string {
  if (total === undefined || total <= 0) return "";
  const share = Math.min(1, done / total);
  const full = Math.round(share * barChars);
  return `[${"#".repeat(full)}${"-".repeat(barChars - full)}] ${Math.floor(share * 100)} %  `;
}
