/**
 * Reads and writes CSV as RFC 4180 has it: quotes, doubled quotes, line breaks within quotes. A record ends with CRLF or LF, and is
 * written with LF: a shell that cuts the last cell out, which is a token, would keep the CR. It is read piece by piece as it comes.
 * Spreadsheets of many countries divide cells by semicolons or tabs, so the first of these three in a file is its separator. Spaces around
 * a cell are nobody's name: who types "acme, press-3" means press-3. Those within quotes stay.
 * Rejected alternative: a library, since those at hand read whole texts or bring streams of their own.
 *
 * A spreadsheet runs a cell that begins like a formula, and the names of devices are not ours to choose: such a cell is written with an
 * apostrophe before it, which spreadsheets know, and read without it.
 */
import { csvCell } from "../../core/text/csv-cell.ts";

/** As OWASP lists them (CSV injection), with their full-width forms. */
const formula = /^'*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]/;

const separators = ",;\t";

/** A record is one line, unless a quoted cell holds line breaks. */
export interface CsvRecord {
  /** Of its first line, from 1. */
  readonly line: number;
  readonly cells: readonly string[];
}

/** @throws if a record is longer than `charsMax`, or a quote is not closed */
export async function* csvRecords(text: AsyncIterable<string>, charsMax: number): AsyncGenerator<CsvRecord> {
  let cells: string[] = [];
  let cell = "";
  /** So much of the cell stood in quotes, of which no space is taken away. */
  let kept = 0;
  let separator = "";
  let quoted = false;
  let wasQuote = false;
  let line = 1;
  let firstLine = 1;
  let chars = 0;

  const takeCell = () => {
    cells.push(unguarded(kept === 0 ? cell.trim() : cell.slice(0, kept) + cell.slice(kept).trimEnd()));
    [cell, kept] = ["", 0];
  };
  const take = (): CsvRecord => {
    takeCell();
    const record = { line: firstLine, cells };
    [cells, chars, firstLine] = [[], 0, line];
    return record;
  };

  for await (const piece of text) {
    for (const char of piece) {
      if (char === "\n") line++;
      if (++chars > charsMax) throw new Error(tooLong(firstLine, charsMax));
      if (quoted && wasQuote && char !== '"') [quoted, kept] = [false, cell.length];
      if (quoted && wasQuote) [cell, wasQuote] = [`${cell}"`, false];
      else if (quoted) {
        if (char === '"') wasQuote = true;
        else cell += char;
      } else {
        wasQuote = false;
        if (separator === "" && separators.includes(char)) separator = char;
        if (char === '"' && cell.trim() === "") [quoted, cell] = [true, ""];
        else if (char === separator) takeCell();
        else if (char === "\n") yield take();
        else cell += char;
      }
    }
  }
  // A file that was cut off there would give a name that is cut off, too.
  if (quoted && !wasQuote) throw new Error(`line ${firstLine}: a quote is not closed`);
  if (quoted) kept = cell.length;
  if (chars > 0) yield take();
}

/** Lines that end in LF or CRLF, numbered from 1. */
export async function* lines(
  text: AsyncIterable<string>,
  charsMax: number,
): AsyncGenerator<{ line: number; text: string }> {
  let rest = "";
  let line = 1;
  for await (const piece of text) {
    const parts = (rest + piece).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) yield { line: line++, text: bounded(part, line - 1, charsMax) };
    bounded(rest, line, charsMax);
  }
  if (rest !== "") yield { line, text: rest };
}

/** Writes a record, with its line end. */
export function csvLine(cells: readonly string[]): string {
  const written = cells.map((cell) => csvCell(formula.test(cell) ? `'${cell}` : cell));
  return `${written.join(",")}\n`;
}

function unguarded(cell: string): string {
  return cell.startsWith("'") && formula.test(cell) ? cell.slice(1) : cell;
}

function bounded(text: string, line: number, charsMax: number): string {
  if (text.length > charsMax) throw new Error(tooLong(line, charsMax));
  return text;
}

function tooLong(line: number, charsMax: number): string {
  return `line ${line}: longer than ${charsMax} characters`;
}
