/** `{name}` and `{name...}` in the text of a mapping, and what stands around them. */

const nameWord = "[A-Za-z_][A-Za-z0-9_]*";
const whole = new RegExp(`^\\{(${nameWord})\\}$`);
const rest = new RegExp(`^\\{(${nameWord})\\.\\.\\.\\}$`);
const part = new RegExp(`\\{(${nameWord})\\}`);

/** The name, if the text is `{name}` and nothing else. */
export function nameIn(text: string): string | undefined {
  return whole.exec(text)?.[1];
}

/** The name, if the text is `{name...}` and nothing else. */
export function restNameIn(text: string): string | undefined {
  return rest.exec(text)?.[1];
}

/** The names in a text, and the pieces around them: one more than names. */
export function partsOf(text: string): {
  readonly pieces: readonly string[];
  readonly names: readonly string[];
} {
  const parts = text.split(part);
  return { pieces: parts.filter((_, i) => i % 2 === 0), names: parts.filter((_, i) => i % 2 === 1) };
}
