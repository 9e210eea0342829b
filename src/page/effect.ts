/**
 * What is done once a change is drawn, and ended before the next.
 *
 * Not hono/jsx's own useEffect: it runs in the next frame whatever was noted by then, so if something else is drawn before, it runs an effect
 * twice, or one that is out of date, and forgets what ends it. A device that was followed had two connections, of six that a browser has.
 */
import { useLayoutEffect } from "hono/jsx/dom";

export function useEffect(effect: () => (() => void) | undefined | void, deps: readonly unknown[]): void {
  useLayoutEffect(() => {
    let end: (() => void) | undefined | void;
    // By then what is drawn stands in the page.
    const frame = requestAnimationFrame(() => {
      end = effect();
    });
    return () => {
      cancelAnimationFrame(frame);
      end?.();
    };
  }, deps);
}
