/**
 * A JSON pointer (RFC 6901), compiled to a function once: a message costs the steps, not the parsing of the pointer.
 * Only what the payload itself holds is found, so "/constructor" and "/length" find nothing. Rejected alternative: a
 * library, because this is a few lines, and a library would split the text per message.
 */

export type Steps = readonly string[];

/** The value there; undefined if there is none. null is a value. */
export type Find = (value: unknown) => unknown;

/** null if it is not a pointer. "" is not one here, because it would stand for everything. */
export function stepsOf(text: string): Steps | null {
  if (!text.startsWith("/") || /~(?![01])/.test(text)) return null;
  return text.slice(1).split("/").map(plainStep);
}

/** What is wrong with a text of which `stepsOf` is null. */
export const notPointer = "is no JSON pointer (in a step, ~ is written ~0 and / is written ~1)";

/** A step without its escapes (RFC 6901 §4). */
export function plainStep(step: string): string {
  return step.replaceAll("~1", "/").replaceAll("~0", "~");
}

export function pointerOf(steps: Steps): string {
  return steps.map((step) => `/${step.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

export function finder(steps: Steps): Find {
  const [first = "", ...rest] = steps;
  const step = stepInto(first);
  if (rest.length === 0) return step;
  const further = finder(rest);
  return (value) => further(step(value));
}

const index = /^(?:0|[1-9]\d{0,8})$/;

function stepInto(step: string): Find {
  const at = index.test(step) ? Number(step) : undefined;
  return (value) => {
    if (typeof value !== "object" || value === null) return undefined;
    if (Array.isArray(value)) return at === undefined ? undefined : (value[at] as unknown);
    return Object.hasOwn(value, step) ? (value as Record<string, unknown>)[step] : undefined;
  };
}
