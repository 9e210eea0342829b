/** Which Sluice this is. The commit and its time are stamped in by build.ts; run from source there are none. */
export { version } from "../package.json";

declare const SLUICE_COMMIT: string | undefined;
declare const SLUICE_COMMIT_SECONDS: number | undefined;

export const commit: string = typeof SLUICE_COMMIT === "string" ? SLUICE_COMMIT : "unknown";

/** No clock that is right says less: this code was written later. */
const writtenAfterMs = Date.UTC(2025, 0, 1);

/** When what is running was made, in ms since 1970: the commit's time. No clock that is right says less. */
export const builtMs: number =
  typeof SLUICE_COMMIT_SECONDS === "number"
    ? Math.max(SLUICE_COMMIT_SECONDS * 1000, writtenAfterMs)
    : writtenAfterMs;
