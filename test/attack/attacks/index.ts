/** All attacks, in the order of the table. */
import type { Attack } from "../attack.ts";
import { connectionAttacks } from "./connections.ts";
import { floodAttacks } from "./floods.ts";
import { ingestAttacks } from "./ingest.ts";
import { listenerAttacks } from "./listeners.ts";
import { memoryAttacks } from "./memory.ts";

export const attacks: readonly Attack[] = [
  ...connectionAttacks,
  ...memoryAttacks,
  ...listenerAttacks,
  ...ingestAttacks,
  ...floodAttacks,
];
