/**
 * Can two topic filters meet, and does one contain the other? Of two that meet a broker may send what they share twice (MQTT 5 §3.3.4),
 * without DUP, so no two that we subscribe to may, but for one that contains the other: then it alone is subscribed to.
 *
 * A level may be a part of one, as a mapping's topic has it (`shelly-{device}`): a subscription cannot say that (`subscribed`).
 */

export type Level =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "any"; readonly name: string | null }
  | Parts
  | { readonly kind: "rest"; readonly name: string };

/** Names between pieces of text; `pieces` has one more than `names`, and only the first and the last may be empty. */
interface Parts {
  readonly kind: "parts";
  readonly pieces: readonly string[];
  readonly names: readonly string[];
}

export type Levels = readonly Level[];

const any: Level = { kind: "any", name: null };

/** As a broker sees them. */
export function subscribed(levels: Levels): Levels {
  return levels.map((level) => (level.kind === "parts" ? any : level));
}

/** Of a topic filter as one subscribes to it. */
export function levelsOf(filter: string): Levels {
  return filter.split("/").map((text) => {
    if (text === "+") return any;
    return text === "#" ? { kind: "rest", name: "" } : { kind: "literal", text };
  });
}

/** Do they share topics, and neither contains the other? */
export function clashes(a: Levels, b: Levels): boolean {
  return meets(a, b) && !covers(a, b) && !covers(b, a);
}

/** Those that no other one covers, each once. */
export function widest(filters: readonly string[]): string[] {
  const all = [...new Set(filters)].map((filter) => ({ filter, levels: levelsOf(filter) }));
  return all
    .filter(
      ({ filter, levels }) => !all.some((other) => other.filter !== filter && covers(other.levels, levels)),
    )
    .map(({ filter }) => filter);
}

/** Is there a topic that both take? */
export function meets(a: Levels, b: Levels): boolean {
  if (isOwnOfBroker(a, b) || isOwnOfBroker(b, a)) return false;
  for (let i = 0; ; i++) {
    const [x, y] = [a[i], b[i]];
    // sport/# takes sport as well (MQTT 5 §4.7.1.2).
    if (x?.kind === "rest" || y?.kind === "rest") return true;
    if (x === undefined || y === undefined) return x === y;
    if (!levelMeets(x, y)) return false;
  }
}

/** Does `a` take every topic that `b` takes? */
export function covers(a: Levels, b: Levels): boolean {
  if (isOwnOfBroker(a, b)) return false;
  for (let i = 0; ; i++) {
    const [x, y] = [a[i], b[i]];
    if (x?.kind === "rest") return true;
    if (x === undefined || y === undefined) return x === y;
    if (y.kind === "rest" || !levelCovers(x, y)) return false;
  }
}

/** A wildcard at the beginning does not take what begins with $ (MQTT 5 §4.7.2). */
function isOwnOfBroker([wild]: Levels, [literal]: Levels): boolean {
  return literal?.kind === "literal" && literal.text.startsWith("$") && wild?.kind !== "literal";
}

function levelMeets(x: Level, y: Level): boolean {
  if (x.kind === "any" || y.kind === "any") return true;
  if (x.kind === "literal") return y.kind === "literal" ? x.text === y.text : takes(y, x.text);
  if (y.kind === "literal") return takes(x, y.text);
  const [xs, ys] = [piecesOf(x), piecesOf(y)];
  const [xStart = "", yStart = "", xEnd = "", yEnd = ""] = [xs[0], ys[0], xs.at(-1), ys.at(-1)];
  const startsAlike = xStart.startsWith(yStart) || yStart.startsWith(xStart);
  return startsAlike && (xEnd.endsWith(yEnd) || yEnd.endsWith(xEnd));
}

function levelCovers(x: Level, y: Level): boolean {
  if (x.kind === "any") return true;
  if (y.kind === "any") return false;
  if (y.kind === "literal") return x.kind === "literal" ? x.text === y.text : takes(x, y.text);
  return x.kind === "parts" && piecesOf(x).join("{}") === piecesOf(y).join("{}");
}

function takes(level: Level, text: string): boolean {
  return level.kind === "parts" && partsIn(level, text) !== null;
}

/**
 * What stands for the names, each as short as may be and none empty; null if the text is another. Where a piece can stand first, what is
 * behind has most room, so nothing is tried twice: a regular expression took seconds for a level of 64 KB of which nearly all fits.
 */
export function partsIn({ pieces }: Parts, text: string): string[] | null {
  const [first = "", last = ""] = [pieces[0], pieces.at(-1)];
  const end = text.length - last.length;
  const values: string[] = [];
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    const to = text.indexOf(piece, at + 1);
    if (to < 0) return null;
    values.push(text.slice(at, to));
    at = to + piece.length;
  }
  if (at >= end || !text.startsWith(first) || !text.endsWith(last)) return null;
  return [...values, text.slice(at, end)];
}

function piecesOf(level: Level): readonly string[] {
  return level.kind === "parts" ? level.pieces : [];
}
