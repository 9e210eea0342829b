/** A form for a device that is not registered yet. */
import type { DeviceColumns } from "../admin/device-columns.ts";

type NewDevice = Pick<DeviceColumns, "tenant_id" | "device_id" | "site_id">;

export function AddDevice({ add }: { add: (device: NewDevice) => Promise<boolean> }) {
  const submit = async (event: Event) => {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const field = (name: string) => (form.elements.namedItem(name) as HTMLInputElement).value.trim();
    const device = { tenant_id: field("tenant"), device_id: field("device"), site_id: field("site") };
    // What was refused for one wrong word is not typed anew.
    if (await add(device)) form.reset();
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
