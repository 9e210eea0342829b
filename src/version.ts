/** Which Sluice this is. build.ts stamps in the commit and its time; run from source there are none. */
export { version } from "../package.json";

declare const SLUICE_COMMIT: string | undefined;
declare const SLUICE_COMMIT_SECONDS: number | undefined;

export const commit: string = typeof SLUICE_COMMIT === "string" ? SLUICE_COMMIT : "unknown";

/** A clock that shows an earlier time is wrong: this code was written later. */
const writtenAfterMs = Date.UTC(2025, 0, 1);

/** When this executable was made, in ms since 1970: the commit's time. */
export const builtMs: number =
  typeof SLUICE_COMMIT_SECONDS === "number"
    ? Math.max(SLUICE_COMMIT_SECONDS * 1000, writtenAfterMs)
    : writtenAfterMs;
