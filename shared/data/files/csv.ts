/** CSV and TSV files with a header. Every cell is a text; an empty one is null. */
import { quote } from "../../errors.ts";
import { invalidLine, type Row } from "../rows/row.ts";
import { CsvParser, type CsvRecord } from "./csv_parser.ts";
import type { DataBytes } from "./data_bytes.ts";
import { textOf } from "./lines.ts";

/** Throws a `LoraFleetError` with code `invalid_dataset` that names the line. */
export async function* readCsvRows(bytes: DataBytes, delimiter: "," | "\t"): AsyncGenerator<Row> {
  let columns: string[] | null = null;
  for await (const record of readRecords(bytes, delimiter)) {
    if (columns === null) columns = headerOf(record);
    else yield rowOf(columns, record);
  }
}

async function* readRecords(bytes: DataBytes, delimiter: "," | "\t"): AsyncGenerator<CsvRecord> {
  const parser = new CsvParser(delimiter);
  for await (const text of textOf(bytes)) yield* parser.parse(text);
  yield* parser.end();
}

/** pandas' names: an empty one is `Unnamed: 0`, by its place, and a repeated one gets `.1`, `.2`, … */
function headerOf({ line, cells }: CsvRecord): string[] {
  const [first = ""] = cells;
  const other = [";", "\t", "|"].find((separator) => first.includes(separator));
  if (cells.length === 1 && other !== undefined) {
    throw invalidLine(
      line,
      `is the header ${quote(first)}, one column whose name contains ${
        quote(other)
      }; separate the columns by commas (in a ` +
        `.tsv file by tabs)`,
    );
  }
  const taken = new Set<string>();
  return cells.map((cell, index) => {
    const name = cell === "" ? `Unnamed: ${index}` : cell;
    let unique = name;
    for (let count = 1; taken.has(unique) || (unique !== name && cells.includes(unique)); count++) {
      unique = `${name}.${count}`;
    }
    taken.add(unique);
    return unique;
  });
}

/** A row may have fewer cells than the header (null), never more. */
function rowOf(columns: readonly string[], { line, cells }: CsvRecord): Row {
  if (cells.length > columns.length) {
    throw invalidLine(
      line,
      `has ${cells.length} cells, but the header names ${columns.length} columns ` +
        `(${columns.slice(0, 10).map(quote).join(", ")}); quote cells that contain the separator: "a, b"`,
    );
  }
  return { line, fields: new Map(columns.map((name, index) => [name, cells[index] || null])) };
}
