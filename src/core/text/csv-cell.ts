/** A cell of CSV as RFC 4180 has it: in quotes if it holds a quote, a separator of some country, a line break, or a space at an end. */
export function csvCell(text: string): string {
  return /[",;\t\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
