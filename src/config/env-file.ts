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
  /** Lines that systemd ignores silently, and what is wrong with them. */
  readonly ignored: readonly string[];
}

type State =
  "line" | "name" | "before" | "value" | "escaped" | "single" | "double" | "doubleEscaped" | "comment";

const isSpace = (c: string) => c === " " || c === "\t" || c === "\r" || c === "\n";
const isNewline = (c: string) => c === "\n" || c === "\r";

export function parseEnvFile(text: string): EnvFile {
  const values = new Map<string, string>();
  const lines = new Map<string, number>();
  const ignored: string[] = [];
  let state: State = "line";
  let name = "";
  let value = "";
  /** Length of the value without trailing blanks, which count only if something follows. */
  let kept = 0;
  let line = 1;
  let began = 1;

  const add = (c: string) => {
    value += c;
    kept = value.length;
  };
  const assign = () => {
    const trimmed = name.trimEnd();
    if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(trimmed)) {
      values.set(trimmed, value.slice(0, kept));
      lines.set(trimmed, began);
    } else ignored.push(`line ${began}: ${whyNoName(trimmed)}`);
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
        ignored.push(`line ${began}: ${whyNoSetting(name)}`);
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
    step[state](c);
    if (c === "\n") line += 1;
  }
  const last = state as State;
  if (last === "name") ignored.push(`line ${began}: ${whyNoSetting(name)}`);
  else if (last !== "line" && last !== "comment") assign();
  return { values, lines, ignored };
}

/** Nobody sees it, before a name or before a comment. */
const byteOrderMark = "\uFEFF";
const markWords = "a byte order mark stands before it: save the file as UTF-8 without one";

function whyNoSetting(name: string): string {
  return name.startsWith(byteOrderMark) ? markWords : "it has no =";
}

/** Masks odd names: the line may be a secret that lost its name. */
function whyNoName(name: string): string {
  if (name.startsWith(byteOrderMark)) return markWords;
  return `${/^[\w.-]{1,40}$/.test(name) ? name : "what stands before ="} is not a name`;
}
