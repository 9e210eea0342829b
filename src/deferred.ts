/**
 * Which devices have messages on the disk that are still to be judged: a device's next message must not overtake them.
 *
 * Bounded: a flood of made-up ids while the registry is away would add a name each. Beyond the bound names are no longer
 * told apart, and every device that must be looked up waits on the disk: order is kept, at the price of some delay.
 */
import type { Entry } from "./core/entry.ts";
import { deviceKey } from "./core/device.ts";

export const deferredDevicesMax = 100_000;

export class DeferredDevices {
  readonly #counts = new Map<string, number>();
  /** Messages of devices beyond the bound. */
  #others = 0;

  add(entry: Entry): void {
    const key = keyOf(entry);
    const known = this.#counts.get(key);
    if (known === undefined && this.#counts.size >= deferredDevicesMax) this.#others++;
    else this.#counts.set(key, (known ?? 0) + 1);
  }

  remove(entry: Entry): void {
    const key = keyOf(entry);
    const known = this.#counts.get(key);
    if (known === undefined) this.#others--;
    else if (known > 1) this.#counts.set(key, known - 1);
    else this.#counts.delete(key);
  }

  /** Must the next message of this device (`deviceKey`) wait too? */
  holds(key: string): boolean {
    return this.#others > 0 || this.#counts.has(key);
  }
}

function keyOf(entry: Entry): string {
  return deviceKey(entry.tenantId ?? "", entry.deviceId ?? "");
}
