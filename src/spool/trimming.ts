/**
 * Trimming: what leaves the spool, and when. Once a second what every sink has settled (keeping.ts) and what is too old, in one transaction with
 * the cursors; at the byte bound at once as much as is needed, of which a sink may lose what it has still to deliver.
 */
import type { Clock } from "../core/clock.ts";
import { size } from "../core/text/readable.ts";
import type { Values } from "../core/settings.ts";
import type { Cursors } from "./cursors.ts";
import { SpoolFull } from "./disk.ts";
import type { Groups } from "./groups.ts";
import type { Keeping } from "./keeping.ts";
import type { spoolSettings } from "./spool-settings.ts";
import type { Tail } from "./tail.ts";

/** How often cursors are written and settled groups trimmed: each time is a few pages, which wear flash, and waiting costs nothing. */
export const trimEveryMs = 1_000;
/** In one transaction. */
const trimGroupsMax = 2_000;
/** What is settled stays while the spool takes no more than this share of its bound and has so many bytes left. */
const settledShareMax = 1 / 8;
const settledRoomMin = 256 * 1024 * 1024;
/**
 * At the bound this much more goes than is needed, so that it need not be done again for each group; and no more, for all that was kept for
 * a sink that is named no longer is gigabytes, and everything else would wait for it.
 */
const moreBytes = 65_536;

interface Parts {
  readonly groups: Groups;
  readonly cursors: Cursors;
  readonly keeping: Keeping;
  readonly tail: Tail;
  readonly commit: (write: () => void) => void;
  readonly clock: Clock;
  readonly settings: Pick<Values<typeof spoolSettings>, "bytesMax" | "ageMaxSeconds">;
  /** See age.ts. */
  readonly ageNowMs: () => number;
  /** The newest seq. Its group stays: it tells the head after a restart. */
  readonly head: () => number;
  /** Of the groups held at the start. */
  readonly bytes: number;
  /** Until the intake is held. @throws if the disk cannot be read */
  readonly roomBytes: () => number;
}

export class Trimming {
  readonly #parts: Parts;
  #bytes: number;
  #isAmple = true;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#bytes = parts.bytes;
  }

  /** Of the groups held. */
  get bytes(): number {
    return this.#bytes;
  }

  appended(bytes: number): void {
    this.#bytes += bytes;
    this.#forget();
  }

  /**
   * @param endsTheHold what is settled may go only once this is written: neither the bound nor the floor may keep it out, or it would for ever
   * @throws SpoolFull if the bound leaves no room for so many bytes more
   */
  makeRoom(bytes: number, endsTheHold: boolean): void {
    const { head, keeping, settings } = this.#parts;
    const { bytesMax } = settings;
    const over = () => this.#bytes + bytes - bytesMax;
    if (over() <= 0) return;
    const { expendable: free } = keeping;
    for (const seq of [this.#settled(), Math.min(free, head() - 1)])
      if (over() > 0) this.#trim(seq, -1, over() + moreBytes);
    // The newest group stays even if it is settled: it must not keep the next one out, however small the bound is.
    if (over() <= 0 || free >= head() || endsTheHold) return;
    throw new SpoolFull(
      "spool_full",
      `the spool holds ${size(this.#bytes)} and may hold ${size(bytesMax)} (SPOOL_MAX_BYTES)`,
    );
  }

  /** Once a second. @throws if the disk cannot be read */
  idle(): void {
    const { cursors, groups, roomBytes, settings } = this.#parts;
    this.#forget();
    this.#isAmple = this.#bytes <= settings.bytesMax * settledShareMax && roomBytes() >= settledRoomMin;
    const due = this.#due();
    if (cursors.dirty || groups.anyUpTo(due)) this.#trim(due, trimGroupsMax);
    this.#expire();
  }

  /** Trims the oldest groups up to `seq`: at most `groupsMax` (-1: all), or as many as free `bytesWanted`. */
  #trim(seq: number, groupsMax: number, bytesWanted?: number): void {
    const { commit, cursors, groups } = this.#parts;
    let freed = 0;
    try {
      commit(() => {
        cursors.write();
        freed = groups.remove(seq, groupsMax, bytesWanted);
      });
      cursors.written();
      this.#bytes -= freed;
    } catch {
      // The disk cannot be written now: the next append reports it to its caller, and this is tried again in a second.
    }
  }

  /** Trims what is too old, except what a sink that holds the intake has still to deliver. */
  #expire(): void {
    const { ageNowMs, groups, head, keeping, settings } = this.#parts;
    const { ageMaxSeconds } = settings;
    if (ageMaxSeconds === 0) return;
    const old = groups.olderThan(ageNowMs() - ageMaxSeconds * 1000, trimGroupsMax);
    const seq = Math.min(old, keeping.expendable, head() - 1);
    if (groups.anyUpTo(seq)) this.#trim(seq, trimGroupsMax);
  }

  /** Lets go of what is in memory only for sinks that have it by now. */
  #forget(): void {
    const settled = this.#settled();
    this.#parts.tail.settledTo(settled);
    this.#parts.groups.settledTo(settled);
  }

  /** Up to where groups go as a matter of course. */
  #due(): number {
    const { clock, head, keeping } = this.#parts;
    return Math.min(keeping.due(clock.monoMs(), this.#isAmple), head() - 1);
  }

  /** Up to where groups may go. */
  #settled(): number {
    const { head, keeping } = this.#parts;
    return Math.min(keeping.settled, head() - 1);
  }
}
