/** A string of its own, that keeps neither the pieces it was joined from nor the text it was cut from: for what is kept. */
export const ownText = (text: string): string => Buffer.from(text).toString();

/** One string for all that are equal, of so many distinct ones; then it begins anew. */
export function interned(distinctMax: number): (text: string) => string {
  const known = new Map<string, string>();
  return (text) => {
    const present = known.get(text);
    if (present !== undefined) return present;
    if (known.size >= distinctMax) known.clear();
    const own = ownText(text);
    known.set(own, own);
    return own;
  };
}
