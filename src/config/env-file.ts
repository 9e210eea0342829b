/**
 * Reads a file of settings as systemd does (EnvironmentFile= in systemd.exec(5)), so that a command sees what the
 * service sees. A shell reads the same file differently: it ends a URL at its first &, and so takes half of it.
 *
 * The states are those of systemd's own parser (src/basic/env-file.c).
 */

export interface EnvFile {
  readonly values: ReadonlyMap<string, string>;
  /** Name → the line that it was last given in. */
  readonly lines: ReadonlyMap<string, number>;
  /** What systemd ignores, or takes as a value, silently and hardly as it is meant; the line first, and no value. */
  readonly remarks: readonly string[];
}

type State =
  "line" | "name" | "before" | "value" | "escaped" | "single" | "double" | "doubleEscaped" | "comment";

const isSpace = (c: string) => c === " " || c === "\t" || c === "\r" || c === "\n";
const isNewline = (c: string) => c === "\n" || c === "\r";

export function parseEnvFile(text: string): EnvFile {
  const values = new Map<string, string>();
  const lines = new Map<string, number>();
  const remarks = new Set<string>();
  let state = "line" as State;
  let name = "";
  let value = "";
  /** Length of the value without trailing blanks, which count only if something follows. */
  let kept = 0;
  let line = 1;
  let began = 1;
  let previous = "";
  const remark = (words: string) => remarks.add(`line ${began}: ${words}`);
  const ignore = (why: string) => remark(`${why}: ignored, as systemd does`);

  const add = (c: string) => {
    value += c;
    kept = value.length;
  };
  const assign = () => {
    const trimmed = name.trimEnd();
    if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(trimmed)) {
      values.set(trimmed, value.slice(0, kept));
      lines.set(trimmed, began);
    } else ignore(whyNoName(trimmed));
    state = "line";
  };
  const step: Readonly<Record<State, (c: string) => void>> = {
    line(c) {
      if (c === "#" || c === ";") state = "comment";
      else if (!isSpace(c)) {
        [state, name, value, kept, began] = ["name", c, "", 0, line];
        if (c === "=") state = "before";
      }
    },
    name(c) {
      if (isNewline(c)) {
        ignore(whyNoSetting(name));
        state = "line";
      } else if (c === "=") state = "before";
      else name += c;
    },
    before(c) {
      if (isNewline(c)) assign();
      else if (c === "'") state = "single";
      else if (c === '"') state = "double";
      else if (c === "\\") state = "escaped";
      else if (!isSpace(c)) {
        state = "value";
        add(c);
      }
    },
    value(c) {
      if (isNewline(c)) assign();
      else if (c === "\\") state = "escaped";
      else if (isSpace(c)) value += c;
      else add(c);
    },
    escaped(c) {
      state = "value";
      if (!isNewline(c)) add(c);
    },
    single(c) {
      if (c === "'") state = "before";
      else add(c);
    },
    double(c) {
      if (c === '"') state = "before";
      else if (c === "\\") state = "doubleEscaped";
      else add(c);
    },
    doubleEscaped(c) {
      state = "double";
      if ('"\\`$'.includes(c)) add(c);
      else if (c !== "\n") add(`\\${c}`);
    },
    comment(c) {
      if (isNewline(c)) state = "line";
    },
  };
  for (const c of text) {
    if (c === "#" && isSpace(previous) && (state === "before" || state === "value")) remark(noComment);
    if (c === "\n" && (state === "single" || state === "double")) remark(openQuote);
    step[state](c);
    if (c === "\n") line += 1;
    previous = c;
  }
  if (state === "name") ignore(whyNoSetting(name));
  else if (state !== "line" && state !== "comment") assign();
  return { values, lines, remarks: [...remarks] };
}

const noComment =
  "# behind a value begins no comment but is part of it, as systemd reads it: put the comment on a line of its own";
const openQuote =
  "the quote is not closed in its line, so the lines up to the next one are part of the value";

/** Nobody sees it, before a name or before a comment. */
const byteOrderMark = "\uFEFF";
const markWords = "a byte order mark stands before it: save the file as UTF-8 without one";

function whyNoSetting(name: string): string {
  return name.startsWith(byteOrderMark) ? markWords : "it has no =";
}

/** Masks odd names: the line may be a secret that lost its name. */
function whyNoName(name: string): string {
  if (name.startsWith(byteOrderMark)) return markWords;
  if (/^export\s+\w+$/.test(name)) return "export is a word of the shell, leave it out";
  return `${/^[\w.-]{1,40}$/.test(name) ? name : "what stands before ="} is not a name`;
}
