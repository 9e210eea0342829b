/** Why the intake is held, as one word: for metrics and pages, which go by words that are known beforehand. */
export const heldReasons = ["spool_full", "disk_low", "cannot_write"] as const;
export type HeldReason = (typeof heldReasons)[number];
