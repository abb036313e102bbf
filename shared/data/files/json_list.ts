/**
 * A JSON file that is a list of rows, or an object one of whose fields is that list (`{"version": 1, "data": [...]}`), which
 * `datasets` reads with `field="data"`. The file is read in pieces: no more than one row is in memory.
 */
import { LoraFleetError, messageOf, quote } from "../../errors.ts";
import { parseJson } from "../../python/json/parse_json.ts";
import type { PyValue } from "../../python/values/value.ts";
import { quoteValue } from "../rows/quote_value.ts";
import { invalidRow, type Row } from "../rows/row.ts";
import type { DataBytes } from "./data_bytes.ts";
import { JsonTextCursor } from "./json_cursor.ts";
import { textOf } from "./lines.ts";

/** The column of a list of texts, as in `datasets`. */
const TEXT_COLUMN = "text";

/**
 * @param field the name of the list in an object; left out: its only list of objects
 *
 * Throws a `LoraFleetError` with code `invalid_dataset` that names the row, or the field.
 */
export async function* readJsonList(bytes: DataBytes, field?: string): AsyncGenerator<Row> {
  const cursor = new JsonTextCursor(textOf(bytes));
  const first = await cursor.peek();
  if (first === "[") yield* readRows(cursor);
  else if (first === "{") yield* readFields(cursor, field);
  else throw notJson(cursor, `a list of rows, or an object with such a list, is needed`);
  if (await cursor.peek() !== "") throw notJson(cursor, "something follows the end of the JSON value");
}

/** A list's rows; the cursor is at its bracket. */
async function* readRows(cursor: JsonTextCursor): AsyncGenerator<Row> {
  cursor.skip();
  for await (const { row, line, text } of itemsOf(cursor)) {
    yield { line: row, fields: fieldsOf(row, line, text) };
  }
}

/** The texts of a list's items; the cursor is behind its bracket. */
async function* itemsOf(cursor: JsonTextCursor) {
  for (let row = 1; await cursor.peek() !== "]"; row++) {
    const { line } = cursor;
    yield { row, line, text: await itemOf(cursor) };
    const next = await cursor.peek();
    if (next === "]") break;
    if (next !== ",") throw notJson(cursor, `"," or "]" is needed after row ${row}`);
    cursor.skip();
    if (await cursor.peek() === "]") throw notJson(cursor, "another row is needed after the comma");
  }
  cursor.skip();
}

async function itemOf(cursor: JsonTextCursor): Promise<string> {
  if (await cursor.peek() === "") {
    throw notJson(cursor, "the list is not closed; the file may have been cut off");
  }
  return await cursor.value();
}

function fieldsOf(row: number, line: number, text: string): Map<string, PyValue> {
  let value: PyValue;
  try {
    value = parseJson(text);
  } catch (cause) {
    throw invalidRow(
      "row",
      row,
      `(in line ${line}) is not JSON: ${messageOf(cause)}; it is ${quote(text)}`,
      cause,
    );
  }
  if (value instanceof Map) return value;
  if (typeof value === "string") return new Map([[TEXT_COLUMN, value]]);
  throw invalidRow("row", row, `is ${quoteValue(value)}; an object with named fields is needed`);
}

/** The rows of an object's list; the cursor is at the object's bracket. */
async function* readFields(cursor: JsonTextCursor, wanted: string | undefined): AsyncGenerator<Row> {
  const names: string[] = [];
  let found: string | null = null;
  for await (const name of keysOf(cursor)) {
    names.push(name);
    const isList = await cursor.peek() === "[";
    if (wanted === undefined && isList) {
      cursor.skip();
      const isRows = await cursor.peek() === "{";
      if (isRows && found !== null) throw severalLists(found, name);
      for await (const { row, line, text } of itemsOf(cursor)) {
        if (isRows) yield { line: row, fields: fieldsOf(row, line, text) };
      }
      if (isRows) found = name;
    } else if (name === wanted) {
      if (!isList) {
        throw invalidField(`is ${quote(name)}, which holds ${quote(await cursor.value())}, no list`);
      }
      yield* readRows(cursor);
      found = name;
    } else await cursor.value();
  }
  if (found !== null) return;
  const all = names.map(quote).join(", ") || "no fields";
  throw invalidField(
    wanted === undefined
      ? `is not set, and no field of the file's object is a list of rows; it has ${all}`
      : `is ${quote(wanted)}, but the file's object has ${all}`,
  );
}

function severalLists(first: string, second: string): LoraFleetError {
  return invalidField(
    `is not set, and the file has the lists ${quote(first)} and ${quote(second)}; set it to one of them`,
  );
}

/** The names of an object's fields; who iterates consumes the value after each. */
async function* keysOf(cursor: JsonTextCursor): AsyncGenerator<string> {
  cursor.skip();
  while (await cursor.peek() !== "}") {
    if (await cursor.peek() !== '"') throw notJson(cursor, "the name of a field is needed");
    const name = nameOf(cursor, await cursor.value());
    if (await cursor.peek() !== ":") throw notJson(cursor, `":" is needed after the name of a field`);
    cursor.skip();
    if (await cursor.peek() === "") throw notJson(cursor, `the value of ${quote(name)} is missing`);
    yield name;
    if (await cursor.peek() === ",") cursor.skip();
    else if (await cursor.peek() !== "}") throw notJson(cursor, `"," or "}" is needed after ${quote(name)}`);
  }
  cursor.skip();
}

function nameOf(cursor: JsonTextCursor, text: string): string {
  try {
    return parseJson(text) as string;
  } catch (cause) {
    throw notJson(cursor, `the name ${quote(text)} is no JSON text: ${messageOf(cause)}`);
  }
}

function notJson({ line }: JsonTextCursor, what: string): LoraFleetError {
  return new LoraFleetError(
    "invalid_dataset",
    `dataset: line ${line} is not the JSON that is needed: ${what}`,
    {
      param: `line ${line}`,
    },
  );
}

function invalidField(what: string): LoraFleetError {
  return new LoraFleetError("invalid_dataset", `dataset.field ${what}`, { param: "dataset.field" });
}
