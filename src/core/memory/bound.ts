/**
 * A bound of memory: everything that grows with what comes in has one, and test/memory-bounds.ts adds them up.
 *
 * What is counted in items has a size per item here, which test/memory-bounds.test.ts holds against the heap of the process.
 */
export interface MemoryBound {
  /** What lies there. */
  readonly part: string;
  /** The most of it. */
  readonly bytes: number;
}

/** Of a device: socket, buffers and the state of its session. 10 KiB were measured per connection to the embedded broker; the rest is for TLS. */
export const connectionBytes = 32 * 1024;
