/** Plain text as the "text" loader of `datasets` reads it: a row for each line, paragraph or document. */
import { invalidRow, type Row } from "../rows/row.ts";
import type { DataBytes } from "./data_bytes.ts";
import { countLineFeeds, MAX_ITEM_CHARS, textOf } from "./lines.ts";

/** What a row of a text file is. */
export type SampleBy = "line" | "paragraph" | "document";

/** The column that a text file has. */
const COLUMN = "text";

/**
 * Lines end in LF, CRLF or CR and lose their end; an empty line is a row of an empty text, as in `datasets`. Paragraphs are
 * separated by empty lines, and `line` is where one begins.
 */
export function readTextRows(bytes: DataBytes, sampleBy: SampleBy): AsyncGenerator<Row> {
  if (sampleBy === "document") return readDocument(bytes);
  return sampleBy === "line" ? readLineRows(bytes) : readParagraphs(bytes);
}

async function* readLineRows(bytes: DataBytes): AsyncGenerator<Row> {
  let pending = "";
  let line = 1;
  for await (const text of universalNewlines(bytes)) {
    const lines = (pending + text).split("\n");
    pending = lines.pop()!;
    for (const found of lines) yield rowOf(line++, found);
    assertLength(line, pending);
  }
  if (pending !== "") yield rowOf(line, pending);
}

async function* readParagraphs(bytes: DataBytes): AsyncGenerator<Row> {
  let pending = "";
  let line = 1;
  for await (const text of universalNewlines(bytes)) {
    pending += text;
    // The last paragraph may go on, and a line feed at its end may be the first of two.
    for (let end = pending.indexOf("\n\n"); end !== -1 && end + 2 < pending.length;) {
      if (end > 0) yield rowOf(line, pending.slice(0, end));
      line += countLineFeeds(pending.slice(0, end + 2));
      pending = pending.slice(end + 2);
      end = pending.indexOf("\n\n");
    }
    assertLength(line, pending);
  }
  for (const paragraph of pending.split("\n\n")) {
    if (paragraph !== "") yield rowOf(line, paragraph);
    line += countLineFeeds(paragraph) + 2;
  }
}

async function* readDocument(bytes: DataBytes): AsyncGenerator<Row> {
  const parts: string[] = [];
  let length = 0;
  for await (const text of universalNewlines(bytes)) {
    parts.push(text);
    length += text.length;
    if (length > MAX_ITEM_CHARS) throw tooLong(1);
  }
  yield rowOf(1, parts.join(""));
}

/** CRLF and CR as LF, as Python opens text files. */
async function* universalNewlines(bytes: DataBytes): AsyncGenerator<string> {
  let endsInReturn = false;
  for await (const text of textOf(bytes)) {
    const whole: string = endsInReturn ? "\r" + text : text;
    endsInReturn = whole.endsWith("\r");
    yield (endsInReturn ? whole.slice(0, -1) : whole).replaceAll(/\r\n?/g, "\n");
  }
  if (endsInReturn) yield "\n";
}

function rowOf(line: number, text: string): Row {
  return { line, fields: new Map([[COLUMN, text]]) };
}

function assertLength(line: number, pending: string): void {
  if (pending.length > MAX_ITEM_CHARS) throw tooLong(line);
}

function tooLong(line: number) {
  return invalidRow(
    "line",
    line,
    `begins a text of more than ${MAX_ITEM_CHARS} characters; split it into rows`,
  );
}
