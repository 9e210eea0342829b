/**
 * `sluice help mappings`: a mapping for each source that is met on real sites, to copy. Topics are those of the source's default; a
 * source that lets its operator choose them has an example.
 *
 * They stand in a file of their own as in an operator's, and the tests send each source's own form through it.
 */
import text from "./ready.toml" with { type: "text" };

/** All of them, each under a line with its source. */
export const readyText: string = text;

export interface Ready {
  readonly source: string;
  /** What one must know of it; null: nothing. */
  readonly note: string | null;
  readonly toml: string;
}

export const ready: readonly Ready[] = readyText
  .split(/^# --- /m)
  .slice(1)
  .map((part) => {
    const [, source = "", note = "", toml = ""] = /^(.*)\n((?:# .*\n)*)([^]*)$/.exec(part.trimEnd()) ?? [];
    return { source, note: note === "" ? null : note.trimEnd().slice(2).replaceAll("\n# ", " "), toml };
  });
