/**
 * Learns how a payload is written: its form, of text that was judged stage by stage and accepted. Equal forms are one, which all devices
 * of a kind share. A form is known by its number, so that a device keeps none that was forgotten.
 */
import { ownText } from "../core/text/own-text.ts";
import { tokenStart } from "../core/token.ts";
import { Form, kinds, type Kind, type Slot } from "./form.ts";
import { namesSecret } from "./secret-names.ts";

/** Longer texts, or those of more values, are always judged stage by stage: what takes long there is not what a form saves. */
const formCharsMax = 2_048;
const slotsMax = 128;
/** With one more all are forgotten, and those in use are learned anew. */
export const formsMax = 1_024;

/** The members that the judge reads. One that is written in another way has no form. */
const ownKinds: Readonly<Record<string, { readonly text?: Kind; readonly number?: Kind }>> = {
  provision_token: { text: kinds.token },
  site_id: { text: kinds.siteId },
  seq: { number: kinds.seq },
  ts: { text: kinds.time, number: kinds.epoch },
  tenant_id: { text: kinds.tenantId },
  device_id: { text: kinds.deviceId },
  msg_type: { text: kinds.msgType },
};

const tokenName = '"provision_token"';
/** Strings with what makes one a name, numbers, flags, and what opens or closes a level: all there is in JSON but null, blanks and commas. */
const parts = /"([^"]*)"(\s*:)?|-?\d[\d.eE+-]*|true|false|[[\]{}]/g;

/** Who is new mostly writes as others do, and to compare its text with their forms takes a fraction of learning it. */
const lastMax = 8;

export interface Shelf {
  /** The numbers of the forms that were learned last. */
  readonly last: readonly number[];
  /** The number of a text's form; undefined: it has none. @param text valid JSON that can be stored */
  learn(text: string): number | undefined;
  /** undefined: it was forgotten. */
  at(number: number): Form | undefined;
}

export function createShelf(): Shelf {
  const known = new Map<string, number>();
  let forms: Form[] = [];
  /** The number of the first. */
  let base = 0;
  let last: number[] = [];

  return {
    get last() {
      return last;
    },
    learn(text) {
      if (text.length > formCharsMax || /[\\\t\r\n]/.test(text)) return undefined;
      const read = slotsOf(text);
      if (read === undefined) return undefined;
      const { slots, end } = read;
      const isAscii = Buffer.byteLength(text) === text.length;
      const key = slots.map(({ literal, kind }) => `${literal}\0${kind}\0`).join("") + `${end}\0${isAscii}`;
      const number = known.get(key) ?? keep(key, new Form(slots, end, isAscii));
      last = [number, ...last.filter((other) => other !== number)].slice(0, lastMax);
      return number;
    },
    at: (number) => forms[number - base],
  };

  function keep(key: string, form: Form): number {
    if (forms.length === formsMax) {
      base += formsMax;
      forms = [];
      known.clear();
    }
    const number = base + forms.push(form) - 1;
    known.set(ownText(key), number);
    return number;
  }
}

/** undefined: it has no form that could be compared with, or names a secret besides its token. @param text valid JSON without escapes */
function slotsOf(text: string): { readonly slots: readonly Slot[]; readonly end: string } | undefined {
  const slots: Slot[] = [];
  const named = new Set<string>();
  let [depth, kept, rest, name] = [0, 0, "", ""];
  for (const { 0: part, 1: string, 2: isName, index } of text.matchAll(parts)) {
    if (isName !== undefined) {
      name = depth === 1 ? (string ?? "") : "";
      if (Object.hasOwn(ownKinds, name) && named.has(name)) return undefined;
      named.add(name);
    } else if ("[]{}".includes(part)) {
      depth += part === "{" || part === "[" ? 1 : -1;
      name = "";
    } else {
      const isText = string !== undefined;
      const own = Object.hasOwn(ownKinds, name) ? ownKinds[name] : undefined;
      const kind = own === undefined ? kindOf(part, isText) : isText ? own.text : own.number;
      if (kind === undefined || slots.length === slotsMax) return undefined;
      const [from, to] = isText ? [index + 1, index + part.length - 1] : [index, index + part.length];
      slots.push({ literal: ownText(text.slice(kept, from)), kind });
      if (kind !== kinds.token) rest += text.slice(kept, to);
      else rest += text.slice(kept, from).replace(tokenName, '""');
      kept = to;
    }
  }
  const end = ownText(text.slice(kept));
  rest += end;
  return rest.includes(tokenStart) || namesSecret(rest) ? undefined : { slots, end };
}

function kindOf(part: string, isText: boolean): Kind {
  if (isText) return kinds.text;
  return part === "true" || part === "false" ? kinds.flag : kinds.number;
}
