/** Why zod does not take something, in words of ours. */
import type { z } from "zod";

/** Of one mistake: it may quote a name of 64 KB, which is masked wherever it is shown, and that takes the thread a ms per KB. */
const charsMax = 300;

/** Where and what, without the value: it might be a secret that was put in the wrong place. */
export function whyOf(error: z.ZodError): string {
  return error.issues
    .slice(0, 5)
    .map(({ path, message }) => [...(path.length === 0 ? [] : [path.join(".")]), plain(message)].join(": "))
    .map((words) => (words.length <= charsMax ? words : `${words.slice(0, charsMax)}…`))
    .join("; ");
}

/** zod's own sentences in the words of ours. */
function plain(message: string): string {
  return message
    .replace(/^Invalid input: expected .*, received undefined$/, "is missing")
    .replace(/^Invalid (?:input|option): expected (.*?)(?:, received .*)?$/, "must be $1")
    .replace(/^must be (?=[aeiou]\w+$)/, "must be an ")
    .replace(/^must be (?=[^aeiou"]\w+$)/, "must be a ")
    .replace(/^Too (?:big|small): expected \w+ to (?=have |be )/, "must ")
    .replace(/^must have >=1 \w+$/, "must not be empty")
    .replace(/^must (have|be) <=/, "must $1 at most ")
    .replace(/^must (have|be) >=/, "must $1 at least ")
    .replace("Invalid ISO datetime", "must be a time such as 2026-11-21T08:00:00Z")
    .replace(/^Unrecognized key/, "unknown name");
}
