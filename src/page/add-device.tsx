/** A form for a device that is not registered yet. */
import { useRef } from "hono/jsx/dom";
import type { DeviceColumns } from "../admin/device-columns.ts";

type NewDevice = Pick<DeviceColumns, "tenant_id" | "device_id" | "site_id">;

export function AddDevice({ add }: { add: (device: NewDevice) => Promise<boolean> }) {
  const isUnderWay = useRef(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    // The second click of a double one would be told that the device is registered already.
    if (isUnderWay.current) return;
    isUnderWay.current = true;
    const form = event.target as HTMLFormElement;
    const field = (name: string) => (form.elements.namedItem(name) as HTMLInputElement).value.trim();
    const device = { tenant_id: field("tenant"), device_id: field("device"), site_id: field("site") };
    // What was refused for one wrong word is not typed anew.
    if (await add(device)) form.reset();
    isUnderWay.current = false;
  };
  return (
    <details>
      <summary>Add a device</summary>
      <form onSubmit={submit}>
        <label>
          Tenant <input name="tenant" required />
        </label>
        <label>
          Device <input name="device" required />
        </label>
        <label>
          Site <input name="site" required />
        </label>
        <button type="submit">Add</button>
      </form>
    </details>
  );
}
