/** The devices: found by a part of their id, added with a token that is shown once, given a new one, revoked, let in again, imported. */
import { useState } from "hono/jsx/dom";
import { renderSVG } from "uqr";
import { request, useAnswer, wordsOf } from "./api.ts";
import { Trouble } from "./login.tsx";
import { number, time } from "./words.ts";

interface Device {
  readonly tenant_id: string;
  readonly device_id: string;
  readonly site_id: string;
  readonly status: string;
  readonly token_set: boolean;
}
/** A device with when and how often it was heard. */
interface Heard extends Device {
  readonly last_seen: string | null;
  readonly messages: number;
  readonly messages_per_minute: number;
  readonly last_reject: string | null;
  readonly last_reject_at: string | null;
}
interface HeardPage {
  readonly devices: readonly Heard[];
  readonly next: string | null;
  readonly earlier_unknown: string | null;
}
interface Made extends Device {
  readonly token?: string;
}

const pageSize = 50;
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
  const { answer, error } = useAnswer<HeardPage>(`/admin/devices/activity?${query.toString()}`, changes);
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
      <table tabIndex={0}>
        <thead>
          <tr>
            <th scope="col">Device</th>
            <th scope="col">Site</th>
            <th scope="col">Status</th>
            <th scope="col">Last seen, the silent first</th>
            <th scope="col">In the last minute</th>
            <th scope="col">Since the start</th>
            <th scope="col">Last reject</th>
            <th scope="col">
              <span class="hidden">What can be done</span>
            </th>
          </tr>
        </thead>
        <tbody>
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
              <td>
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
        </tbody>
      </table>
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

interface NewDevice {
  readonly tenant_id: string;
  readonly device_id: string;
  readonly site_id: string;
}

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

function Import({ act }: { act: (work: () => Promise<string>) => Promise<void> }) {
  const [share, setShare] = useState<number | undefined>(undefined);
  const send = (event: Event) =>
    act(async () => {
      const input = event.target as HTMLInputElement;
      const [file] = input.files ?? [];
      if (file === undefined) return "";
      try {
        const { added, existing, wrong } = await upload(file, setShare);
        return `${number(added)} added, ${number(existing)} were there, ${number(wrong)} lines were wrong.`;
      } finally {
        setShare(undefined);
        input.value = "";
      }
    });
  return (
    <details>
      <summary>Import devices</summary>
      <label>
        A CSV or NDJSON file, as <code>sluice devices export</code> writes it{" "}
        <input type="file" accept=".csv,.ndjson" onChange={send} />
      </label>
      {share === undefined ? "" : <progress max={1} value={share} aria-label="Sent" />}
    </details>
  );
}

interface Imported {
  readonly added: number;
  readonly existing: number;
  readonly wrong: number;
  readonly detail?: string;
}

/** XMLHttpRequest, for fetch does not say how much was sent. */
function upload(file: File, progress: (share: number) => void): Promise<Imported> {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open("POST", "/admin/devices/import");
    call.setRequestHeader("content-type", file.name.endsWith(".csv") ? "text/csv" : "application/x-ndjson");
    call.upload.addEventListener("progress", ({ loaded, total }) =>
      progress(total === 0 ? 1 : loaded / total),
    );
    call.addEventListener("error", () => reject(new Error("the gateway does not answer")));
    call.addEventListener("load", () => {
      const answer = JSON.parse(call.responseText) as Imported;
      if (call.status < 300) resolve(answer);
      else reject(new Error(answer.detail ?? `the gateway answers ${call.status}`));
    });
    call.send(file);
  });
}

function Token({ made, done }: { made: Made; done: () => void }) {
  const [copied, setCopied] = useState(false);
  const token = made.token ?? "";
  const copy = async () => {
    await navigator.clipboard.writeText(token);
    setCopied(true);
  };
  const code = `data:image/svg+xml;utf8,${encodeURIComponent(renderSVG(token))}`;
  return (
    <div class="token" role="region" aria-label="The new token">
      <p>This is the token of {nameOf(made)}. It is not shown again; an old one stays good for an hour.</p>
      <p>
        <code id="token">{token}</code>
        <button type="button" onClick={copy}>
          {copied ? "Copied" : "Copy"}
        </button>
        <button type="button" onClick={done}>
          Hide
        </button>
      </p>
      <img src={code} alt={`The token of ${nameOf(made)} as a QR code`} width={160} height={160} />
    </div>
  );
}
