/** The devices of a registry a page at a time, in the order of their names: whoever walks a fleet need not hold it. */
import type { Device, DeviceFilter, DeviceStore } from "../core/device.ts";

/** Rows in one page of a list, of devices or of anything else. */
export const pageMax = 1_000;

/** @param limit devices in all */
export async function* devicePages(
  devices: Pick<DeviceStore, "list">,
  filter: Omit<DeviceFilter, "limit" | "after">,
  limit = Number.POSITIVE_INFINITY,
): AsyncGenerator<readonly Device[]> {
  let after: Device | undefined;
  for (let left = limit; left > 0;) {
    const wanted = Math.min(pageMax, left);
    const page = await devices.list({ ...filter, limit: wanted, after });
    yield page;
    if (page.length < wanted) return;
    left -= page.length;
    after = page.at(-1);
  }
}
