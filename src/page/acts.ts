/** What somebody does on the page: what came of it, and that it is done once. */
import { useRef, useState } from "hono/jsx/dom";
import { loginWords, useSessionChange, wordsOf } from "./api.ts";

/** What somebody does, one thing after the other: what came of the last, and how many there were. */
export function useActs() {
  const [said, setSaid] = useState("");
  const [count, setCount] = useState(0);
  useSessionChange((isLogin) => {
    if (isLogin) setSaid((last) => (last === loginWords ? "" : last));
  });
  /** @param work is given what says how far it has come. @returns whether it is done */
  const act = async (work: (say: (soFar: string) => void) => Promise<string>): Promise<boolean> => {
    let isDone = false;
    try {
      setSaid(await work(setSaid));
      isDone = true;
    } catch (failure) {
      setSaid(wordsOf(failure));
    }
    setCount((n) => n + 1);
    return isDone;
  };
  return { said, count, act };
}

/** The second click of a double one would do it again, or undo what the first has done. A key's counts as none. */
export function once(work: () => void): (event: MouseEvent) => void {
  return ({ detail: clicks }) => {
    if (clicks < 2) work();
  };
}

/** Whoever presses again before the answer is there, as on a slow line, would do it again. */
export function useAlone<A extends unknown[]>(
  work: (...given: A) => Promise<unknown>,
): (...given: A) => void {
  const isUnderWay = useRef(false);
  return (...given) => {
    if (isUnderWay.current) return;
    isUnderWay.current = true;
    void work(...given).finally(() => {
      isUnderWay.current = false;
    });
  };
}
