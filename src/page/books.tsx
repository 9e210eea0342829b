/** The books as equations: no message is counted nowhere. */
import type { Stats } from "./types.ts";
import { number } from "./words.ts";

const sum = (counts: Readonly<Record<string, number>>) =>
  Object.values(counts).reduce((all, n) => all + n, 0);

export function Books({ stats }: { stats: Stats }) {
  const { ingest, sinks, balanced } = stats;
  const { since_start: start } = ingest;
  return (
    <section id="books">
      <h2>
        Books{" "}
        <span class={balanced ? "good" : "bad"}>{balanced ? "✓ they balance" : "✗ they do not balance"}</span>
      </h2>
      <table tabIndex={0}>
        <caption>received = accepted + rejected + duplicate + judging</caption>
        <tbody>
          <Row
            name="since the first start"
            total={ingest.received}
            of={[ingest.accepted, sum(ingest.rejected), ingest.duplicate, ingest.judging]}
          />
          <Row
            name="since this start"
            total={start.received}
            of={[start.accepted, sum(start.rejected), start.duplicate]}
          />
        </tbody>
      </table>
      <table tabIndex={0}>
        <caption>spooled = delivered + ignored + refused + skipped + waiting</caption>
        <tbody>
          {Object.entries(sinks).map(([name, sink]) => (
            <Row
              key={name}
              name={name}
              total={sink.spooled}
              of={[sink.delivered, sink.ignored, sink.refused, sink.skipped, sink.waiting]}
            />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Row({ name, total, of }: { name: string; total: number; of: readonly number[] }) {
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>
        {number(total)} = {of.map(number).join(" + ")}
      </td>
    </tr>
  );
}
