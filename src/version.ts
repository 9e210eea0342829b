/** Which Sluice this is. The commit is stamped in by build.ts; run from source there is none. */
export { version } from "../package.json";

declare const SLUICE_COMMIT: string | undefined;

export const commit: string = typeof SLUICE_COMMIT === "string" ? SLUICE_COMMIT : "unknown";
