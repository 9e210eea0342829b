/** One device, live: its next messages, what became of each, and when disk and sinks had it. */
import { useState } from "hono/jsx/dom";
import type { Followed, Passed } from "../admin/follow.ts";
import { fromHere, useSession, whyNoStream } from "./api.ts";
import { useEffect } from "./effect.ts";
import { Table } from "./table.tsx";
import { ended, ms, number, shown } from "./words.ts";

type Row = Followed & { readonly sinks: Readonly<Record<string, number>> };

const rowsMax = 50;

interface FollowProps {
  readonly device: string;
  readonly setDevice: (device: string) => void;
  /** The gateway does not answer: then this connection is as dead as the others, of which the browser may never be told. */
  readonly isAway: boolean;
}

export function Follow({ device, setDevice, isAway }: FollowProps) {
  const [rows, setRows] = useState<readonly Row[]>([]);
  const [isOpen, setOpen] = useState(false);
  const [whyNot, setWhyNot] = useState("");
  const [notShown, setNotShown] = useState(0);
  const [tries, setTries] = useState(0);
  const session = useSession();
  useEffect(() => {
    setRows([]);
    setNotShown(0);
  }, [device, session, tries]);
  useEffect(() => {
    setOpen(false);
    setWhyNot("");
    const [tenant, id] = device.split("/");
    if (!tenant || !id || isAway) return undefined;
    const path = `/admin/follow?${new URLSearchParams({ tenant, device: id }).toString()}`;
    const source = new EventSource(fromHere(path));
    let isGone = false;
    source.addEventListener("open", () => setOpen(true));
    source.addEventListener("error", () => {
      setOpen(false);
      if (source.readyState !== EventSource.CLOSED) return;
      void whyNoStream(path).then((why) => (isGone ? undefined : setWhyNot(why)));
    });
    source.addEventListener("entry", ({ data }: MessageEvent<string>) => {
      const entry = JSON.parse(data) as Followed;
      setRows((old) => [{ ...entry, sinks: {} }, ...old].slice(0, rowsMax));
    });
    source.addEventListener("not_shown", ({ data }: MessageEvent<string>) => {
      const { entries } = JSON.parse(data) as { entries: number };
      setNotShown((old) => old + entries);
    });
    source.addEventListener("passed", ({ data }: MessageEvent<string>) => {
      const { seq, sink, after_ms: afterMs } = JSON.parse(data) as Passed;
      setRows((old) =>
        old.map((row) => (row.seq === seq ? { ...row, sinks: { ...row.sinks, [sink]: afterMs } } : row)),
      );
    });
    return () => {
      isGone = true;
      source.close();
    };
    // The browser does not ask again by itself if it was refused.
  }, [device, session, tries, isAway]);
  const submit = (event: Event) => {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    setTries((n) => n + 1);
    setDevice((form.elements.namedItem("device") as HTMLInputElement).value.trim());
  };
  return (
    <section id="follow" tabIndex={-1}>
      <h2>Follow a device</h2>
      <form onSubmit={submit}>
        <label>
          Tenant/device <input name="device" value={device} pattern="[^\/]+\/[^\/]+" required />
        </label>
        <button type="submit">Follow</button>
        {device === "" ? (
          ""
        ) : (
          <button type="button" onClick={() => setDevice("")}>
            Stop
          </button>
        )}
      </form>
      <p role="status">
        {device === ""
          ? ""
          : isOpen
            ? `Waiting for what ${shown(device)} says.`
            : isAway
              ? "The gateway does not answer."
              : whyNot === ""
                ? "Asking the gateway…"
                : `The stream is not open: ${ended(whyNot)} Press Follow to try again.`}
      </p>
      {notShown === 0 ? "" : <p>{number(notShown)} more came faster than they can be shown.</p>}
      <Table columns={["Received", "Verdict", "On disk", "In the sinks", "Message"]}>
        {rows.map((row) => (
          <tr key={row.seq}>
            <td>{new Date(row.received_at).toTimeString().slice(0, 8)}</td>
            <td class={row.verdict === "accepted" ? "good" : "bad"}>
              {row.verdict}
              {row.stage === null ? "" : ` (stage ${row.stage})`}
              {row.detail === null ? "" : `: ${shown(row.detail)}`}
            </td>
            <td>{ms(row.to_disk_ms)}</td>
            <td>
              {Object.entries(row.sinks)
                .map(([sink, after]) => `${sink} ${ms(after)}`)
                .join(", ")}
            </td>
            <td>
              <code>{shown(row.topic)}</code> <code>{shown(row.payload)}</code>
              {row.mapping === null ? (
                ""
              ) : (
                <>
                  {" "}
                  read by the mapping <code>{row.mapping}</code>
                </>
              )}
            </td>
          </tr>
        ))}
      </Table>
    </section>
  );
}
