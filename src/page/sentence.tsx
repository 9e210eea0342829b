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
    <section id="sentence" class={isOld ? "old" : level}>
      {/* What changes each second is not read aloud each second. */}
      <div role="status">
        {isOld ? (
          <h2 id="stale">
            The gateway has not answered for <span aria-live="off">{duration(oldSeconds)}</span>. All that is
            shown is that old; it said:
          </h2>
        ) : (
          ""
        )}
        <h2>
          {text}
          {since === null ? "" : ` (since ${time(since)})`}
        </h2>
      </div>
      {detail === null ? "" : <p>{detail}</p>}
      {remedy === null ? "" : <p>{remedy}</p>}
    </section>
  );
}
