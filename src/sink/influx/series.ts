/**
 * A cache of series: a device's measurement and tags as line protocol writes them, and the last times of its readings
 * (collisions.ts). To make them per line was most of what a line cost.
 *
 * The cache has two generations, so that eviction costs nothing: a series in use moves to the young one, and the old one goes as
 * a whole.
 */
import type { Entry } from "../../core/entry.ts";
import type { Grammar, Series, Table } from "./line.ts";
import { seriesText } from "./names.ts";
import type { KnownColumn } from "./types.ts";

export interface KnownSeries extends Series {
  /** `text` and the space behind it, encoded. */
  readonly bytes: Uint8Array;
  /** The columns of the last message, in its order. */
  readonly shape: KnownColumn[];
}

export type SeriesOf = (entry: Entry, table: Table, grammar: Grammar) => KnownSeries;

/** At least this many series are cached, at most twice as many. */
export const seriesMax = 8_192;

type Known = Map<Table, Map<string | null, KnownSeries>>;

export function createSeries(): SeriesOf {
  let young: Known = new Map();
  let old: Known = new Map();
  let size = 0;

  return (entry, table, grammar) => {
    const { deviceId, siteId, tenantId } = entry;
    let devices = young.get(table);
    const known = devices?.get(deviceId);
    // A device that moves to another site is another series.
    if (known !== undefined && known.siteId === siteId && known.tenantId === tenantId) return known;
    const before = old.get(table)?.get(deviceId);
    const series =
      before !== undefined && before.siteId === siteId && before.tenantId === tenantId
        ? before
        : fresh(entry, table, grammar);
    if (size >= seriesMax) {
      [old, young, size] = [young, new Map(), 0];
      devices = undefined;
    }
    if (devices === undefined) young.set(table, (devices = new Map()));
    devices.set(deviceId, series);
    size += 1;
    return series;
  };
}

function fresh(entry: Entry, { name }: Table, grammar: Grammar): KnownSeries {
  const { siteId, tenantId } = entry;
  const text = seriesText(entry, name, grammar);
  const bytes = new TextEncoder().encode(`${text} `);
  return { siteId, tenantId, text, bytes, shape: [], slots: [], oldest: 0, isStored: false };
}
