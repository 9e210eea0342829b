/** The value of a record, from text. */
import { Utf8 } from "../../../src/kafka/utf8.ts";

export function valueFrom(text: string): Utf8 {
  const value = new Utf8();
  value.string(text);
  return value;
}
