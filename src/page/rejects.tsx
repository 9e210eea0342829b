/** What is rejected and why, with the cure; what was kept and may be brought back; what sinks refused for good. */
import { useState } from "hono/jsx/dom";
import type { DeadLetterRow } from "../admin/review/dead-letter-rows.ts";
import type { ReviewOutcome } from "../admin/review/review-queue.ts";
import type { RejectRow } from "../admin/recent-rejects.ts";
import type { ReasonRow } from "../judge/reasons.ts";
import { once, useActs, useAlone } from "./acts.ts";
import { request, useAnswer, useRestedAnswer } from "./api.ts";
import { Trouble } from "./login.tsx";
import { Table } from "./table.tsx";
import { counted, countedEntries, number, shown, time } from "./words.ts";

export function Rejects({
  rejected,
  deadLetters,
}: {
  rejected: Readonly<Record<string, number>>;
  deadLetters: number;
}) {
  const { answer: known } = useAnswer<{ reasons: readonly ReasonRow[] }>("/reasons", 0);
  const reasons = Object.entries(rejected).toSorted(([, a], [, b]) => b - a);
  return (
    <section id="rejects">
      <h2>Rejects</h2>
      {reasons.length === 0 ? <p>None.</p> : ""}
      {reasons.map(([code, count]) => {
        const row = known?.reasons.find((reason) => reason.code === code);
        return <OneReason key={code} code={code} count={count} help={row?.help} remedy={row?.remedy} />;
      })}
      <h2>Dead letters</h2>
      {deadLetters === 0 ? <p>None.</p> : <Letters count={deadLetters} />}
    </section>
  );
}

interface OneReasonProps {
  readonly code: string;
  readonly count: number;
  readonly help: string | undefined;
  readonly remedy: string | undefined;
}

/** Nothing is asked of the gateway until somebody opens it. */
function OneReason({ code, count, help, remedy }: OneReasonProps) {
  const [isOpen, setOpen] = useState(false);
  const [acts, setActs] = useState(0);
  const query = new URLSearchParams({ reason: code, limit: String(devicesMax) });
  const path = isOpen ? `/admin/rejects?${query.toString()}` : undefined;
  const { answer, error } = useRestedAnswer<{ rejects: readonly RejectRow[] }>(path, count, 0);
  return (
    <details onToggle={({ target }: Event) => setOpen((target as HTMLDetailsElement).open)}>
      <summary>
        <strong>{code}</strong> {number(count)}
      </summary>
      <p>{help}</p>
      <p>{remedy}</p>
      <ReviewButtons
        path="/admin/quarantine"
        filter={{ reason: code }}
        named={(n) => `${counted(n, "kept message")} with this reason`}
        changed={() => setActs((n) => n + 1)}
      />
      <Trouble error={error} />
      {isOpen && answer !== undefined ? <Example reason={code} count={count} acts={acts} /> : ""}
      {answer === undefined ? "" : <RejectedDevices rows={answer.rejects} />}
    </details>
  );
}

/** A message that was kept for this reason. */
function Example({ reason, count, acts }: { reason: string; count: number; acts: number }) {
  const query = new URLSearchParams({ reason, limit: "1" });
  const { answer } = useRestedAnswer<{ rows: readonly { readonly id: number }[] }>(
    `/admin/quarantine?${query.toString()}`,
    count,
    acts,
  );
  const id = answer?.rows[0]?.id;
  if (answer === undefined) return "";
  if (id === undefined) return <p>No message with this reason is kept.</p>;
  return <Kept path={`/admin/quarantine/${id}`} />;
}

/** A message that was kept, as it came, without its token. */
function Kept({ path }: { path: string }) {
  const { answer: kept } = useAnswer<{ readonly topic: string; readonly payload: string }>(path, 0);
  if (kept === undefined) return "";
  return (
    <p class="example">
      An example: <code>{shown(kept.topic)}</code>{" "}
      <code>{shown(kept.payload.slice(0, exampleCharsMax))}</code>
    </p>
  );
}

const exampleCharsMax = 1_000;
/** Per reason; those that were rejected last. */
const devicesMax = 50;

function RejectedDevices({ rows }: { rows: readonly RejectRow[] }) {
  if (rows.length === 0) return <p>No device is remembered since the start.</p>;
  return (
    <>
      {rows.length < devicesMax ? "" : <p>The {number(devicesMax)} devices that were rejected last:</p>}
      <Table columns={["Device", "Count", "Last", "What was wrong"]}>
        {rows.map(({ tenant_id: tenant, device_id: device, count, last_at: last, topic, detail }) => (
          <tr key={`${tenant}/${device}`}>
            <td>{device === null ? "not known" : shown(`${tenant}/${device}`)}</td>
            <td>{number(count)}</td>
            <td>{time(last)}</td>
            <td>
              {shown(detail ?? "")} {topic === null ? "" : <code>{shown(topic)}</code>}
            </td>
          </tr>
        ))}
      </Table>
    </>
  );
}

function Letters({ count }: { count: number }) {
  const [acts, setActs] = useState(0);
  const { answer, error } = useRestedAnswer<{ rows: readonly DeadLetterRow[] }>(
    "/admin/dead-letters?limit=50",
    count,
    acts,
  );
  const [first] = answer?.rows ?? [];
  return (
    <>
      <p>{countedEntries(count)} that a sink will never take as they are.</p>
      <ReviewButtons
        path="/admin/dead-letters"
        filter={{ all: true }}
        named={(n) => counted(n, "dead letter")}
        changed={() => setActs((n) => n + 1)}
      />
      <p>Replay them once what the sink's words name is put right.</p>
      <Trouble error={error} />
      {first === undefined ? "" : <Kept path={`/admin/dead-letters/${first.id}`} />}
      <Table columns={["Sink", "Device", "Since", "Its words"]}>
        {(answer?.rows ?? []).map(
          ({ id, sink, tenant_id: tenant, device_id: device, refused_at: at, why }) => (
            <tr key={id}>
              <td>{sink}</td>
              <td>{device === null ? "not known" : shown(`${tenant}/${device}`)}</td>
              <td>{time(at)}</td>
              <td>{shown(why)}</td>
            </tr>
          ),
        )}
      </Table>
    </>
  );
}

type Verb = "replay" | "discard";

/** What somebody is asked to confirm. */
interface Confirm {
  readonly verb: Verb;
  readonly matched: number;
  /** No more than was counted: what has come since is another question. */
  readonly upTo: number;
}

/** Bring back or give up: first it is said how many that would be, then it is done, batch by batch. */
function ReviewButtons({
  path,
  filter,
  named,
  changed,
}: {
  path: string;
  filter: object;
  named: (n: number) => string;
  /** Once it was done, or a part of it. */
  changed: () => void;
}) {
  const [asked, setAsked] = useState<Confirm | undefined>(undefined);
  const { said, act } = useActs();
  // Else who asks twice, as on a slow line, is asked again while it is done, and a second yes would take what has come since.
  const alone = useAlone(act);
  const ask = (verb: Verb) =>
    alone(async (say) => {
      setAsked(undefined);
      const { matched, upTo } = await whole(`${path}/${verb}`, { ...filter, dry_run: true }, say);
      setAsked({ verb, matched, upTo });
      return "";
    });
  const carryOut = ({ verb, upTo }: Confirm) => {
    setAsked(undefined);
    alone(async (say) => {
      const selection = { ...filter, dry_run: false, up_to: upTo };
      const carried = whole(`${path}/${verb}`, selection, say).finally(changed);
      const { matched, done, kept, why: first } = await carried;
      const why = kept === 0 ? "" : ` ${number(kept)} ${kept === 1 ? "stays" : "stay"}: ${first}.`;
      return `${number(done)} of ${number(matched)} ${past[verb]}.${why}`;
    });
  };
  return (
    <p class="desk">
      <button type="button" onClick={() => ask("replay")}>
        Replay…
      </button>
      <button type="button" onClick={() => ask("discard")}>
        Discard…
      </button>
      {asked === undefined ? (
        ""
      ) : (
        <span role="group" aria-label="Confirm">
          {asked.verb === "replay" ? "Replay" : "Discard"} {named(asked.matched)}?{" "}
          <button type="button" class="act" onClick={once(() => carryOut(asked))}>
            Yes, {asked.verb}
          </button>
          <button type="button" onClick={() => setAsked(undefined)}>
            No
          </button>
        </span>
      )}
      <span role="status">{said}</span>
    </p>
  );
}

const past: Readonly<Record<Verb, string>> = { replay: "replayed", discard: "discarded" };

/** All batches together: of what stays, how many and why the first does. @param say is told how far it has come after each, for of many it takes minutes */
async function whole(path: string, selection: object, say: (soFar: string) => void) {
  const all = { matched: 0, done: 0, kept: 0, why: "", upTo: 0 };
  for (let after: number | null = 0; after !== null;) {
    const upTo = all.upTo === 0 ? {} : { up_to: all.upTo };
    const one: ReviewOutcome = await request("POST", path, { ...selection, after, ...upTo });
    all.matched += one.matched;
    all.done += one.done;
    all.kept += one.kept.length;
    all.why ||= one.kept[0]?.why ?? "";
    all.upTo = one.up_to;
    say(`${number(all.matched)} so far…`);
    after = one.next;
  }
  return all;
}
