/** The devices: found by a part of their id, added with a token that is shown once, given a new one, revoked, let in again, imported. */
import { useState } from "hono/jsx/dom";
import { useEffect } from "./effect.ts";
import type { DeviceColumns as Device } from "../admin/device-columns.ts";
import type { ActivityPage } from "../http/activity-endpoints.ts";
import { AddDevice } from "./add-device.tsx";
import { once, useActs, useAlone } from "./acts.ts";
import { LoginNeeded, request, Unsure, useFreshAnswer, wordsOf } from "./api.ts";
import { Import } from "./import.tsx";
import { Trouble } from "./login.tsx";
import { useSettled } from "./settled.ts";
import { Table } from "./table.tsx";
import { Token } from "./token.tsx";
import { ended, number, shown, time } from "./words.ts";

type Heard = ActivityPage["devices"][number];
interface Made extends Device {
  readonly token?: string;
}
/** Whose token is shown. */
interface Shown {
  readonly device: Made;
  /** It had one before. */
  readonly isAnother: boolean;
}

/** Where the pages begin that were gone through: behind these devices, of those that the part of an id finds. */
interface Pages {
  readonly match: string;
  readonly after: readonly string[];
}

const pageSize = 50;
const nameOf = ({ tenant_id: tenant, device_id: device }: Device) => `${tenant}/${device}`;
const pathOf = (device: Device) =>
  `/admin/devices/${encodeURIComponent(device.tenant_id)}/${encodeURIComponent(device.device_id)}`;

export function Devices({ follow }: { follow: (device: string) => void }) {
  const [typed, setTyped] = useState("");
  const match = useSettled(typed);
  const [pages, setPages] = useState<Pages>({ match, after: [] });
  const after = pages.match === match ? pages.after : [];
  const setAfter = (ids: readonly string[]) => setPages({ match, after: ids });
  const [made, setMade] = useState<Shown | undefined>(undefined);
  const { said, count, act } = useActs();
  const query = new URLSearchParams({
    limit: String(pageSize),
    ...(match !== "" && { match }),
    ...(after.length > 0 && { after: after.at(-1) ?? "" }),
  });
  // Rows change places as devices speak: not under somebody's finger. A hundred thousand devices are not asked for at every tick.
  const isFree = () => document.querySelector("#devices table:is(:hover, :focus-within)") === null;
  const { answer, error } = useFreshAnswer<ActivityPage>(
    `/admin/devices/activity?${query.toString()}`,
    count,
    isFree,
  );
  const isOut = error instanceof LoginNeeded;
  useEffect(() => {
    if (isOut) setMade(undefined);
  }, [isOut]);
  const change = (device: Device, verb: Change) =>
    act(async () => {
      await request("POST", `${pathOf(device)}/${verb}`);
      return `${shown(nameOf(device))} is ${verb === "revoke" ? "revoked" : "active again"}.`;
    });
  const rotate = (device: Device) =>
    act(async () => {
      const asked = request<Made>("POST", `${pathOf(device)}/rotate-token`, { grace_seconds: graceSeconds });
      const answered = await (device.token_set ? asked.catch(warnOfNext) : asked);
      setMade({ device: answered, isAnother: device.token_set });
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
            value={typed}
            onInput={({ target }: Event) => setTyped((target as HTMLInputElement).value)}
          />
        </label>
      </form>
      <AddDevice
        add={(device) =>
          act(async () => {
            const added = await request<Made>("POST", "/admin/devices", { ...device, make_token: true });
            setMade({ device: added, isAnother: false });
            return "";
          })
        }
      />
      <Import act={act} />
      {made?.device.token === undefined ? (
        ""
      ) : (
        <Token
          device={shown(nameOf(made.device))}
          token={made.device.token}
          isAnother={made.isAnother}
          done={() => setMade(undefined)}
        />
      )}
      <p role="status">{said}</p>
      {answer?.earlier_unknown ? (
        <p class="note">When devices were heard before the start is not known: {answer.earlier_unknown}</p>
      ) : (
        ""
      )}
      <p>
        <button type="button" disabled={after.length === 0} onClick={() => setAfter(after.slice(0, -1))}>
          Back
        </button>
        <button
          type="button"
          disabled={!answer?.next}
          onClick={() => setAfter([...new Set([...after, answer?.next ?? ""])])}
        >
          Next {number(pageSize)}
        </button>
      </p>
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
          <Row
            key={nameOf(device)}
            device={device}
            follow={() => follow(nameOf(device))}
            rotate={() => rotate(device)}
            change={(verb) => change(device, verb)}
          />
        ))}
      </Table>
      {answer?.devices.length === 0 ? (
        <p>{match === "" ? "No device is registered." : "No registered device has this in its id."}</p>
      ) : (
        ""
      )}
    </section>
  );
}

type Change = "revoke" | "activate";

interface RowProps {
  readonly device: Heard;
  readonly follow: () => void;
  readonly rotate: () => Promise<unknown>;
  readonly change: (verb: Change) => void;
}

function Row({ device, follow, rotate, change }: RowProps) {
  const isActive = device.status === "ACTIVE";
  const name = shown(nameOf(device));
  const verb = isActive ? "Revoke" : "Activate";
  const rotateOnce = useAlone(rotate);
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>{shown(device.site_id)}</td>
      <td>
        {device.status}
        {device.token_set ? "" : ", without a token"}
      </td>
      <td>{seenText(device)}</td>
      <td>{number(device.messages_per_minute)}</td>
      <td>{number(device.messages)}</td>
      <td>{rejectText(device)}</td>
      <td class="acts">
        <button type="button" aria-label={`Follow ${name}`} onClick={follow}>
          Follow
        </button>
        <button type="button" aria-label={`New token for ${name}`} onClick={once(rotateOnce)}>
          New token
        </button>
        <button
          type="button"
          aria-label={`${verb} ${name}`}
          onClick={once(() => change(isActive ? "revoke" : "activate"))}
        >
          {verb}
        </button>
      </td>
    </tr>
  );
}

function seenText({ last_seen: seen, connections = [] }: Heard): string {
  const from = connections.map(({ remote, since }) => `${remote} since ${time(since)}`).join(" and ");
  return `${seen === null ? "–" : time(seen)}${from && `, connected from ${from}`}`;
}

function rejectText({ last_reject: reason, last_reject_at: at }: Heard): string {
  return reason === null || at === null ? "–" : `${reason}, ${time(at)}`;
}

/** Who presses again for a token that was never shown would cut a device off that has one. */
function warnOfNext(failure: unknown): never {
  if (!(failure instanceof Unsure)) throw failure;
  throw new Error(
    `${ended(wordsOf(failure))} Make another new token only when you can give it to the device: it may end at once the one that the device uses.`,
  );
}

/** The old token stays good for so long after a new one is made. */
const graceSeconds = 3_600;
