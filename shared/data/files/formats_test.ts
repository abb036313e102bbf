import { assertEquals } from "@std/assert";
import { goldenPath } from "../../../tests/golden/data_goldens.ts";
import { parseJson } from "../../python/json/parse_json.ts";
import type { PyValue } from "../../python/values/value.ts";
import { bytesInMemory, openDataFile } from "./data_bytes.ts";
import { formatOfName, FORMATS, type ReadOptions } from "./formats.ts";
import { readParquetRows } from "./parquet.ts";
import { recogniseFormat } from "./recognise.ts";
import { checkDataFile } from "./check_ends.ts";

const FOLDER = goldenPath("data/formats");
const pathOf = (name: string) => `${FOLDER}/${name.slice(name.lastIndexOf(".") + 1)}/${name}`;
const golden = parseJson(await Deno.readTextFile(`${FOLDER}/rows.json`)) as Map<string, PyValue>;

async function readAll(name: string, options: ReadOptions = {}) {
  using bytes = await openDataFile(pathOf(name), name);
  const format = await recogniseFormat(name, bytes, options.field !== undefined);
  const rows = await Array.fromAsync(FORMATS[format].read(bytes, options));
  const counted = await FORMATS[format].count?.(bytes);
  assertEquals(counted ?? rows.length, rows.length);
  return rows.map(({ fields }) => fields);
}

/** A table has every column in every row; JSON has what its file has. */
const withoutNulls = (rows: unknown) =>
  (rows as Map<string, PyValue>[]).map((row) => new Map([...row].filter(([, value]) => value !== null)));

for (const [name, rows] of golden) {
  if (name.endsWith(".txt")) {
    for (const [by, expected] of rows as Map<string, PyValue>) {
      Deno.test(`${name} by ${by} has the rows that datasets reads`, async () =>
        assertEquals(await readAll(name, { sample_by: by as "line" }), expected as never));
    }
    continue;
  }
  Deno.test(`${name} has the rows that datasets reads`, async () => {
    const isJson = name.endsWith(".json");
    const found = await readAll(name, name === "squad.json" ? { field: "data" } : {});
    assertEquals(isJson ? withoutNulls(found) : found, isJson ? withoutNulls(rows) : rows as never);
  });
}

Deno.test("columns keep the file's order, and a struct its fields'", async () => {
  const [first] = await readAll("types.parquet");
  assertEquals([...first!.keys()].slice(0, 4), ["i64", "i32", "u8", "f64"]);
  assertEquals([...(first!.get("struct") as Map<string, PyValue>).keys()], ["10", "2"]);
});

Deno.test("the only list of objects is found without dataset.field", async () => {
  assertEquals(await readAll("squad.json"), await readAll("squad.json", { field: "data" }));
});

Deno.test("where a file is cut into pieces does not matter", async () => {
  for (
    const name of ["quotes.csv", "returns.csv", "list.json", "squad.json", "plain.txt", "paragraphs.txt"]
  ) {
    const bytes = await Deno.readFile(pathOf(name));
    const { read } = FORMATS[formatOfName(name)!];
    for (const sample_by of ["line", "paragraph", "document"] as const) {
      const whole = await Array.fromAsync(read(bytesInMemory(bytes), { sample_by }));
      for (const size of [1, 2, 3, 7]) {
        const short = { ...bytesInMemory(bytes), chunkBytes: size };
        assertEquals(await Array.fromAsync(read(short, { sample_by })), whole, `${name} by ${size}`);
      }
    }
  }
});

Deno.test("every committed file passes the check of an upload", async () => {
  for (const name of [...golden.keys(), "bytes.parquet"]) {
    using bytes = await openDataFile(pathOf(name), name);
    await checkDataFile(name, bytes);
  }
});

Deno.test("a row group that is read in several ranges has the rows that it has as a whole", async () => {
  for (const name of ["types_v2.parquet", "chat_zstd.parquet"]) {
    using bytes = await openDataFile(pathOf(name), name);
    for (const maxRangeBytes of [1, 300]) {
      const rows = await Array.fromAsync(readParquetRows(bytes, { maxRangeBytes }));
      assertEquals(rows.map(({ fields }) => fields), golden.get(name) as never);
      assertEquals(rows.map(({ line }) => line), [1, 2, 3]);
    }
  }
});
