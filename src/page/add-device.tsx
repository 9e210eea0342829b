/** A form for a device that is not registered yet. */
import type { DeviceColumns } from "../admin/device-columns.ts";
import { useAlone } from "./acts.ts";

type NewDevice = Pick<DeviceColumns, "tenant_id" | "device_id" | "site_id">;

export function AddDevice({ add }: { add: (device: NewDevice) => Promise<boolean> }) {
  // Else the second click of a double one would be told that the device is registered already.
  const submit = useAlone(async (form: HTMLFormElement) => {
    const field = (name: string) => (form.elements.namedItem(name) as HTMLInputElement).value.trim();
    const device = { tenant_id: field("tenant"), device_id: field("device"), site_id: field("site") };
    // What was refused for one wrong word is not typed anew.
    if (await add(device)) form.reset();
  });
  const onSubmit = (event: Event) => {
    event.preventDefault();
    submit(event.target as HTMLFormElement);
  };
  return (
    <details>
      <summary>Add a device</summary>
      <form onSubmit={onSubmit}>
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
