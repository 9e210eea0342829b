/** The devices: found by a part of their id, added with a token that is shown once, given a new one, revoked, let in again, imported. */
import { useEffect, useRef, useState } from "hono/jsx/dom";
import { renderSVG } from "uqr";
import type { DeviceColumns as Device } from "../admin/device-columns.ts";
import type { ActivityPage } from "../http/activity-endpoints.ts";
import { request, useAnswer, useTick, wordsOf } from "./api.ts";
import { Import } from "./import.tsx";
import { Trouble } from "./login.tsx";
import { Table } from "./table.tsx";
import { number, time } from "./words.ts";

type Heard = ActivityPage["devices"][number];
interface Made extends Device {
  readonly token?: string;
}

const pageSize = 50;
const askEveryMs = 10_000;
/** The page may cost a hundredth of a core: the list rests a hundred times as long as its answer took. */
const restPerAnswer = 100;
const nameOf = ({ tenant_id: tenant, device_id: device }: Device) => `${tenant}/${device}`;
const pathOf = (device: Device) =>
  `/admin/devices/${encodeURIComponent(device.tenant_id)}/${encodeURIComponent(device.device_id)}`;

export function Devices({ follow }: { follow: (device: string) => void }) {
  const [match, setMatch] = useState("");
  const [after, setAfter] = useState<readonly string[]>([]);
  const [changes, setChanges] = useState(0);
  const [made, setMade] = useState<Made | undefined>(undefined);
  const [said, setSaid] = useState("");
  const query = new URLSearchParams({
    limit: String(pageSize),
    ...(match !== "" && { match }),
    ...(after.length > 0 && { after: after.at(-1) ?? "" }),
  });
  const last = useRef({ atMs: 0, tookMs: 0 });
  const ticks = useTick(askEveryMs, () => {
    const { atMs, tookMs } = last.current ?? { atMs: 0, tookMs: 0 };
    // Rows change places as devices speak: not under somebody's finger. A hundred thousand devices are not asked for at every tick.
    const isInUse = document.querySelector("#devices table:is(:hover, :focus-within)") !== null;
    return !isInUse && performance.now() - atMs >= tookMs * restPerAnswer;
  });
  const asked = useAnswer<ActivityPage>(`/admin/devices/activity?${query.toString()}`, `${changes} ${ticks}`);
  last.current = asked;
  const { answer, error } = asked;
  const act = async (work: () => Promise<string>) => {
    try {
      setSaid(await work());
    } catch (failure) {
      setSaid(wordsOf(failure));
    }
    setChanges((n) => n + 1);
  };
  const change = (device: Device, verb: "revoke" | "activate") =>
    act(async () => {
      await request("POST", `${pathOf(device)}/${verb}`);
      return `${nameOf(device)} is ${verb === "revoke" ? "revoked" : "active again"}.`;
    });
  const rotate = (device: Device) =>
    act(async () => {
      setMade(await request<Made>("POST", `${pathOf(device)}/rotate-token`, { grace_seconds: graceSeconds }));
      return "";
    });
  return (
    <section id="devices">
      <h2>Devices</h2>
      <Trouble error={error} />
      <form role="search" onSubmit={(event: Event) => event.preventDefault()}>
        <label>
          Part of the id{" "}
          <input
            type="search"
            value={match}
            onInput={({ target }: Event) => {
              setAfter([]);
              setMatch((target as HTMLInputElement).value);
            }}
          />
        </label>
      </form>
      <Add
        add={(device) =>
          act(async () => {
            setMade(await request<Made>("POST", "/admin/devices", { ...device, make_token: true }));
            return "";
          })
        }
      />
      <Import act={act} />
      {made?.token === undefined ? "" : <Token made={made} done={() => setMade(undefined)} />}
      <p role="status">{said}</p>
      {answer?.earlier_unknown ? (
        <p class="note">When devices were heard before the start is not known: {answer.earlier_unknown}</p>
      ) : (
        ""
      )}
      <Table
        columns={[
          "Device",
          "Site",
          "Status",
          "Last seen, the silent first",
          "In the last minute",
          "Since the start",
          "Last reject",
          <span class="hidden">What can be done</span>,
        ]}
      >
        {answer?.devices.map((device) => (
          <tr key={nameOf(device)}>
            <th scope="row">{nameOf(device)}</th>
            <td>{device.site_id}</td>
            <td>
              {device.status}
              {device.token_set ? "" : ", without a token"}
            </td>
            <td>{device.last_seen === null ? "–" : time(device.last_seen)}</td>
            <td>{number(device.messages_per_minute)}</td>
            <td>{number(device.messages)}</td>
            <td>{rejectText(device)}</td>
            <td class="acts">
              <button type="button" onClick={() => follow(nameOf(device))}>
                Follow
              </button>
              <button type="button" onClick={() => rotate(device)}>
                New token
              </button>
              {device.status === "ACTIVE" ? (
                <button type="button" onClick={() => change(device, "revoke")}>
                  Revoke
                </button>
              ) : (
                <button type="button" onClick={() => change(device, "activate")}>
                  Activate
                </button>
              )}
            </td>
          </tr>
        ))}
      </Table>
      <p>
        <button type="button" disabled={after.length === 0} onClick={() => setAfter(after.slice(0, -1))}>
          Back
        </button>
        <button
          type="button"
          disabled={!answer?.next}
          onClick={() => setAfter([...after, answer?.next ?? ""])}
        >
          Next {number(pageSize)}
        </button>
      </p>
    </section>
  );
}

function rejectText({ last_reject: reason, last_reject_at: at }: Heard): string {
  return reason === null || at === null ? "–" : `${reason}, ${time(at)}`;
}

/** The old token stays good for so long after a new one is made. */
const graceSeconds = 3_600;

type NewDevice = Pick<Device, "tenant_id" | "device_id" | "site_id">;

function Add({ add }: { add: (device: NewDevice) => Promise<void> }) {
  const submit = async (event: Event) => {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const field = (name: string) => (form.elements.namedItem(name) as HTMLInputElement).value.trim();
    await add({ tenant_id: field("tenant"), device_id: field("device"), site_id: field("site") });
    form.reset();
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

function Token({ made, done }: { made: Made; done: () => void }) {
  const [said, setSaid] = useState("Copy");
  const region = useRef<HTMLDivElement>(null);
  const place = useRef<HTMLElement>(null);
  const token = made.token ?? "";
  // It appears above a table of fifty rows, and is not shown again.
  useEffect(() => region.current?.focus(), [token]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(token);
      setSaid("Copied");
    } catch {
      // Browsers have a clipboard on HTTPS and on this host alone.
      if (place.current !== null) window.getSelection()?.selectAllChildren(place.current);
      setSaid("Selected, to be copied");
    }
  };
  const code = `data:image/svg+xml;utf8,${encodeURIComponent(renderSVG(token))}`;
  return (
    <div class="token" role="region" aria-label="The new token" ref={region} tabIndex={-1}>
      <p>This is the token of {nameOf(made)}. It is not shown again; an old one stays good for an hour.</p>
      <p>
        <code id="token" ref={place}>
          {token}
        </code>
        <button type="button" onClick={copy}>
          {said}
        </button>
        <button type="button" onClick={done}>
          Hide
        </button>
      </p>
      <img src={code} alt={`The token of ${nameOf(made)} as a QR code`} width={160} height={160} />
    </div>
  );
}
