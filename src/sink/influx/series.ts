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

/** By table, tenant, site and device: two of one name never take turns in one place, where each would forget the other's last times. */
type Known = Map<Table, Places>;
type Places = Map<string | null, Map<string | null, Devices>>;
type Devices = Map<string | null, KnownSeries>;

export function createSeries(): SeriesOf {
  let young: Known = new Map();
  let old: Known = new Map();
  let size = 0;

  return (entry, table, grammar) => {
    const { deviceId, siteId, tenantId } = entry;
    const known = young.get(table)?.get(tenantId)?.get(siteId)?.get(deviceId);
    if (known !== undefined) return known;
    const before = old.get(table)?.get(tenantId)?.get(siteId)?.get(deviceId);
    const series = before ?? fresh(entry, table, grammar);
    if (size >= seriesMax) [old, young, size] = [young, new Map(), 0];
    devicesAt(young, table, tenantId, siteId).set(deviceId, series);
    size += 1;
    return series;
  };
}

function devicesAt(known: Known, table: Table, tenantId: string | null, siteId: string | null): Devices {
  let places = known.get(table);
  if (places === undefined) known.set(table, (places = new Map()));
  let sites = places.get(tenantId);
  if (sites === undefined) places.set(tenantId, (sites = new Map()));
  let devices = sites.get(siteId);
  if (devices === undefined) sites.set(siteId, (devices = new Map()));
  return devices;
}

function fresh(entry: Entry, { name }: Table, grammar: Grammar): KnownSeries {
  const { siteId, tenantId } = entry;
  const text = seriesText(entry, name, grammar);
  const bytes = new TextEncoder().encode(`${text} `);
  return { siteId, tenantId, text, bytes, shape: [], slots: [], oldest: 0, isStored: false };
}
