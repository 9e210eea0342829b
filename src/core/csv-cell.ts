/** A cell of CSV as RFC 4180 has it: in quotes if it holds a quote, a comma or a line break. */
export function csvCell(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
