/**
 * Flights: the devices that wait for the registry, each once, and the order in which they are looked up.
 *
 * A flight is queued, then under way, then answered; it may be queued again. There are two queues: devices that were
 * registered when last seen, and strangers.
 */
import { deviceKey, type DeviceAuth, type DeviceId } from "../core/device.ts";

/** null if the device is not registered; "unavailable" if the registry did not answer in time. */
export type Answer = DeviceAuth | null | "unavailable";

export interface Flight {
  readonly key: string;
  readonly tenantId: string;
  readonly deviceId: string;
  /** The site that the first message names. */
  siteId: string | null;
  /** Monotonic; from then on the answer is "unavailable". */
  readonly deadlineMs: number;
  readonly isKnown: boolean;
  /** True if the registry notified of a change since the query left: its answer does not count. */
  isVoid: boolean;
  isSecondTry: boolean;
  readonly waiting: ((answer: Answer) => void)[];
}

export interface Flights {
  get(key: string): Flight | undefined;
  /** In the order in which they were opened. */
  all(): Iterable<Flight>;
  size(): number;
  open(id: DeviceId, siteId: string | null, deadlineMs: number, isKnown: boolean): Flight;
  /** Takes up to `max` flights for one query: known devices, then what `more` opens, then strangers. */
  take(max: number, more: () => Flight | undefined): Flight[];
  hasQueued(): boolean;
  /** Queues a flight for another look-up, before others; does nothing if it was answered meanwhile. */
  requeue(flight: Flight): void;
  answer(flight: Flight, answer: Answer): void;
}

export function createFlights(): Flights {
  const open = new Map<string, Flight>();
  const known = new Set<Flight>();
  const strangers = new Set<Flight>();
  const queueOf = (flight: Flight) => (flight.isKnown ? known : strangers);

  function takeFrom(queue: Set<Flight>, max: number, batch: Flight[]) {
    for (const flight of queue) {
      if (batch.length >= max) return;
      queue.delete(flight);
      batch.push(flight);
    }
  }

  return {
    get: (key) => open.get(key),
    all: () => open.values(),
    size: () => open.size,
    open({ tenantId, deviceId }, siteId, deadlineMs, isKnown) {
      const key = deviceKey(tenantId, deviceId);
      const who = { key, tenantId, deviceId, siteId };
      const flight: Flight = { ...who, deadlineMs, isKnown, isVoid: false, isSecondTry: false, waiting: [] };
      open.set(key, flight);
      queueOf(flight).add(flight);
      return flight;
    },
    take(max, more) {
      const batch: Flight[] = [];
      takeFrom(known, max, batch);
      while (batch.length < max) {
        const flight = more();
        if (flight === undefined) break;
        takeFrom(known, max, batch);
      }
      takeFrom(strangers, max, batch);
      for (const flight of batch) flight.isVoid = false;
      return batch;
    },
    hasQueued: () => known.size + strangers.size > 0,
    requeue(flight) {
      if (open.get(flight.key) === flight) queueOf(flight).add(flight);
    },
    answer(flight, answer) {
      if (open.get(flight.key) !== flight) return;
      open.delete(flight.key);
      queueOf(flight).delete(flight);
      for (const done of flight.waiting) done(answer);
    },
  };
}
