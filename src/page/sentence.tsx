/** The worst thing that is wrong now, in one sentence with a colour, and whether what the page shows is still true. */
import type { Attention } from "../admin/attention-schema.ts";
import { duration, time } from "./words.ts";

export function Sentence({
  attention,
  oldSeconds,
}: {
  attention: Attention;
  oldSeconds: number | undefined;
}) {
  const { level, text, since, detail, remedy } = attention;
  const isOld = oldSeconds !== undefined;
  return (
    <section id="sentence" class={isOld ? "old" : level} role="status" aria-live="polite">
      <h2>
        {text}
        {since === null ? "" : ` since ${time(since)}`}
      </h2>
      {detail === null ? "" : <p>{detail}</p>}
      {remedy === null ? "" : <p>{remedy}</p>}
      {isOld ? (
        <p id="stale">
          The gateway has not been heard for {duration(oldSeconds)}: what stands here is that old.
        </p>
      ) : (
        ""
      )}
    </section>
  );
}
