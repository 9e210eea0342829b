/** Rows of COPY, as tests write and read them. */
import type { Rows } from "../../src/store/postgres/copy.ts";

/** Rows that are one text each, without the newline; "": none. */
export const rowsOf = <Item>(text: (item: Item) => string): Rows<Item> => ({ columns: text, last: () => "" });

/** The whole row; "" if the item has none. */
export function rowText<Item>({ columns, last }: Rows<Item>, item: Item): string {
  const begin = columns(item);
  return begin === "" ? "" : `${begin}${last(item)}\n`;
}
