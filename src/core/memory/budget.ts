/**
 * One budget of memory for what grows with the load: the intake, the spool's newest groups, what was read from the disk last and what
 * is read ahead for the sinks. What grows with the number of devices, tokens or connections has settings and bounds of its own;
 * test/memory-bounds.ts adds up both.
 *
 * The budget is for the whole process, so the program's own size goes off first. What was let go of is in it too, see gateway/memory-keeper.ts.
 * The default is enforced as well, beside what the cached devices need, for to collect beyond it takes half a per cent of the CPU.
 * Rejected as the default: 192 MiB, 25 MB less at the peak for 4 % more CPU per message, and 13 % in a process that has just started.
 * Rejected alternatives, by the peak of a backlog of 100,000: BUN_JSC_forceRAMSize of 128 MiB, 27 % less memory for 43 % more CPU; --smol,
 * no less memory; half of each share, no less memory and 6 % more CPU, for a sink that lags reads from the disk sooner.
 */
import { totalmem } from "node:os";
import { optionalInteger, type Values } from "../settings.ts";

const MiB = 1024 * 1024;

/** The program itself: idle it has 45 MiB, and a load needs more of its pages and compiles its code. */
export const programBytes = 96 * MiB;

export const memorySettings = {
  bytesMax: optionalInteger({
    name: "MEMORY_MAX_BYTES",
    unit: "bytes",
    min: 128 * MiB,
    help: "What the process should need in service: the intake, the spool's newest groups and what is read ahead for sinks are sized by it, and garbage is collected beyond it, which costs up to 10 % of the CPU (absent: 256 MiB, or the cgroup's limit if that is less; before garbage is collected 2 KiB more per cached device, up to half of what the cgroup or the host has).",
  }),
};

const defaultBytes = 256 * MiB;
/**
 * What lives of a device that speaks, in all rooms together, with its share of the garbage (`bun run bench scaling --axes devices`). Where
 * garbage was collected beyond 256 MiB all the same, a message of a million devices cost a quarter more, for a tenth less memory.
 */
const deviceBytes = 2_048;
/** For a cgroup of less than the program: it is too small, and the kernel will say so. */
const leastBytes = 16 * MiB;

export interface MemoryShares {
  /** Payloads of the messages in the intake. */
  readonly intakeBytes: number;
  /** The spool's newest groups. */
  readonly tailBytes: number;
  /** Groups that were read from the disk last. */
  readonly recentBytes: number;
  /** Read ahead, for all sinks together. */
  readonly readAheadBytes: number;
}

type Given = Partial<Values<typeof memorySettings>>;

/** @param hostBytes what the host, or the cgroup, has */
export function memoryShares(given: Given = {}, hostBytes?: number): MemoryShares {
  const left = Math.max(budgetBytes(given, hostBytes) - programBytes, leastBytes);
  return {
    intakeBytes: left / 4,
    tailBytes: left / 64,
    recentBytes: left / 16,
    readAheadBytes: left / 4,
  };
}

/** Of the budget; the rest is for what comes while garbage is collected. */
const collectedShare = 7 / 8;

/** What may be resident before garbage is collected, with so many devices cached. The other half of the host is for others. */
export function residentBytesMax(given: Given, devices: number, hostBytes = hostMemory()): number {
  const ofDevices = given.bytesMax === undefined ? Math.min(devices * deviceBytes, hostBytes / 2) : 0;
  return Math.min(budgetBytes(given, hostBytes) + ofDevices, hostBytes) * collectedShare;
}

function budgetBytes({ bytesMax }: Given, hostBytes = hostMemory()): number {
  return bytesMax ?? Math.min(defaultBytes, hostBytes);
}

/** Of the cgroup, or of the host where there is none. */
const hostMemory = () => process.constrainedMemory() || totalmem();
