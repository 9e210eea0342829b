/**
 * Settings of the allocator and of the engine, which read their environment before any code of ours runs. So the gateway begins once more,
 * as the same process, with them in its environment, which takes 40 ms of its start. Rejected alternative: the unit of systemd and the
 * image alone, for then the executable by itself is another program.
 */
import type { Env } from "../config/read.ts";

const settings = {
  /**
   * ms. The allocator looks for free pages to give back ten times a second, in a thread of its own that walks through all the heap as
   * soon as the program waits: a twelfth of the CPU at 1,000 messages a second, and a quarter of what an idle gateway uses.
   */
  MIMALLOC_PURGE_HOLES_MIN_INTERVAL: "2000",
  /**
   * Before it collects, the engine lets the heap grow by about so many times what lives, and once the room for the young objects is less than
   * a part of the heap, by its own measure a third, the next collection goes through all objects. What lived through one collection and is
   * garbage is in the way until then: in a heap that may grow by 0.45, a part of 0.2 makes that about every third one under a backlog. By its own
   * measures, 2 and a third, the peak is nearly twice as high. docs/sizing.md has what other pairs cost.
   */
  BUN_JSC_heapGrowthMaxIncrease: "0.45",
  BUN_JSC_minEdenToOldGenerationRatio: "0.2",
  /**
   * Compiled code stays for as long as its function. The engine lets go of it by its age, 60 s for what was compiled best, however often it
   * is run, and compiles it again: a tenth of the CPU at 1,000 messages a second. The program bounds it, and a backlog peaks as high.
   */
  BUN_JSC_forceCodeBlockLiveness: "1",
  /**
   * ms. The runtime collects once a second if anything was allocated, which is 2 ms, a third of what an idle gateway uses; the engine
   * collects when its heap has grown, and gateway/memory-keeper.ts once a load is over. With 10 s a load peaks as high, for the same CPU.
   */
  BUN_GC_TIMER_INTERVAL: "10000",
};

/** The loader of glibc or musl by itself, which is the system's name for a program that it began (gcompat, ld.so by hand): not this one. */
const loader = /\/ld-[^/]*$/;

/** What the environment says already stays. If the system does not let it begin anew, it goes on as it is. */
export function beginWithSettings(words: readonly string[], env: Env): void {
  const isExecutable = import.meta.path.startsWith("/$bunfs/") && !loader.test(process.execPath);
  const areKnown = Object.keys(settings).every((name) => env[name] !== undefined);
  if (!isExecutable || words[0] !== "run" || areKnown) return;
  try {
    process.execve?.(process.execPath, [process.argv0, ...words], { ...settings, ...env });
  } catch {
    // Emulated, not allowed, or its file was taken away. The engine would remark that this call is new, between the lines of the log.
    process.removeAllListeners("warning");
  }
}
