/** A string of its own, that keeps neither the pieces it was joined from nor the text it was cut from: for what is kept. */
export const ownText = (text: string): string => Buffer.from(text).toString();

/** What is made of a text, kept for so many distinct ones; then it begins anew. @param make of an own string */
export function kept<T>(distinctMax: number, make: (own: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const present = known.get(text);
    if (present !== undefined) return present;
    if (known.size >= distinctMax) known.clear();
    const own = ownText(text);
    const made = make(own);
    known.set(own, made);
    return made;
  };
}

/** One string for all that are equal. */
export const interned = (distinctMax: number) => kept(distinctMax, (own) => own);
