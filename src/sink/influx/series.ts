/**
 * A cache of series: a device's measurement and tags as line protocol writes them, and the last times of its readings
 * (collisions.ts). To make them per line was most of what a line cost. A series hangs off its device's address, for to find it by its
 * names touched memory in ten more places, which from some thousand devices on are in no cache of the processor.
 *
 * The cache has two generations: a series in use moves to the young one, and the old one goes as a whole.
 */
import type { Address, Found } from "../../core/address.ts";
import type { Entry } from "../../core/entry.ts";
import type { Grammar } from "./grammar.ts";
import { newSeries, type Series, type Table } from "./line.ts";
import type { KnownColumn } from "./types.ts";
import type { Slot } from "./slot.ts";
import { textOfWords, inWords, type Words } from "./words.ts";

/** Its words are `text` and the space behind it. Of twelve fields: with one more the engine gives it 48 bytes more. */
export class KnownSeries implements Series, Found, Words {
  readonly table: Table;
  readonly siteId: string | null;
  readonly words: Float64Array;
  readonly length: number;
  readonly slots: Slot[] = [];
  names: readonly string[] = [];
  oldest = 0;
  newestMs = Number.NEGATIVE_INFINITY;
  isStored = false;
  /** The columns of the last message, in its order. */
  readonly shape: KnownColumn[] = [];
  home: Found["home"];
  /** That it hangs off. */
  address: Address | undefined;

  constructor({ table, siteId, text }: Series) {
    this.table = table;
    this.siteId = siteId;
    ({ words: this.words, length: this.length } = inWords(new TextEncoder().encode(`${text} `)));
  }

  get text(): string {
    return textOfWords(this).slice(0, -1);
  }
}

export type SeriesOf = (entry: Entry, table: Table, grammar: Grammar) => KnownSeries;

/** At least this many series are cached, or as many as devices may be, and at most twice as many. */
export const seriesMax = 16_384;

/** By table, and by device and site: two of one name never take turns in one place, where each would forget the other's last times. */
type Known = Map<Table, Map<string, KnownSeries>>;

/** @param devicesMax so many may be cached */
export function createSeries(devicesMax = 0): SeriesOf {
  const youngMax = Math.max(seriesMax, devicesMax);
  let young: Known = new Map();
  let old: Known = new Map();
  let size = 0;

  function find(entry: Entry, table: Table, grammar: Grammar): KnownSeries {
    const key = keyOf(entry);
    const known = young.get(table)?.get(key);
    if (known !== undefined) return known;
    const series = old.get(table)?.get(key) ?? new KnownSeries(newSeries(entry, table, grammar));
    series.home = undefined;
    if (size >= youngMax) {
      forget(old);
      [old, young, size] = [young, new Map(), 0];
    }
    let devices = young.get(table);
    if (devices === undefined) young.set(table, (devices = new Map()));
    devices.set(key, series);
    series.home = young;
    size += 1;
    return series;
  }

  return (entry, table, grammar) => {
    const { address, siteId } = entry;
    const last = address?.series as KnownSeries | undefined;
    if (last?.home === young && last.table === table && last.siteId === siteId) return last;
    const series = find(entry, table, grammar);
    if (address !== undefined) hang(series, address);
    return series;
  };
}

/** Tenants and devices have no "/", so that no site is told from each that there is, "null" among them. */
function keyOf({ tenantId, deviceId, siteId }: Entry): string {
  const device = `${tenantId}/${deviceId}`;
  return siteId === null ? device : `${device}/${siteId}`;
}

function hang(series: KnownSeries, address: Address) {
  series.address = address;
  address.series = series;
}

/**
 * Else an address would keep its series for as long as there are addresses; a device of several topics has it at each, so that what it has
 * of readings goes, too, and all that its home holds. What is in use has a younger home.
 */
function forget(known: Known) {
  for (const devices of known.values())
    for (const { home, address, slots } of devices.values()) {
      if (home !== known) continue;
      slots.length = 0;
      if (address !== undefined) address.series = undefined;
    }
  known.clear();
}
