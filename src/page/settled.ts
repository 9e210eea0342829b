/** What is typed is asked of the gateway once it is typed. */
import { useState } from "hono/jsx/dom";
import { useEffect } from "./effect.ts";

const settleMs = 300;

/** What is typed, once nobody has typed for a moment: a large fleet would be looked through anew for each letter. */
export function useSettled(typed: string): string {
  const [settled, setSettled] = useState(typed);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(typed), settleMs);
    return () => clearTimeout(timer);
  }, [typed]);
  return settled;
}
