import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { LoraFleetError } from "../../errors.ts";
import { readJsonLines } from "./jsonl.ts";
import { type Row } from "./row.ts";

async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(content: string | Uint8Array, size = 1 << 16): Promise<Row[]> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const rows: Row[] = [];
  for await (const row of readJsonLines(chunks(bytes, size))) rows.push(row);
  return rows;
}

Deno.test("lines may end in LF, CRLF or the file's end; blank ones count but hold no row", async () => {
  assertEquals(await read('\ufeff{"a":1}\r\n\n  \n{"b":"ü\\n"}\n{"c":[]}'), [
    { line: 1, fields: new Map([["a", 1n]]) },
    { line: 4, fields: new Map([["b", "ü\n"]]) },
    { line: 5, fields: new Map([["c", []]]) },
  ]);
  assertEquals(await read(""), []);
  assertEquals(await read("\n\n"), []);
});

Deno.test("where the file is cut into chunks does not matter", async () => {
  const rows = fc.array(fc.record({ text: fc.string({ unit: "binary" }) }), { maxLength: 5 });
  await fc.assert(fc.asyncProperty(rows, fc.integer({ min: 1, max: 9 }), async (all, size) => {
    const content = all.map((row) => JSON.stringify(row)).join("\r\n");
    assertEquals(
      (await read(content, size)).map(({ fields }) => fields.get("text")),
      all.map(({ text }) => text),
    );
  }));
});

const LINE = new TextEncoder().encode('{"a":1}\n');
const BAD: readonly [string, string | Uint8Array, number, string][] = [
  ["not JSON", '{"a":1}\n\n{"a":\n', 3, "is not JSON"],
  ["cut off", '{"a":1}\n{"a":"b', 2, '{\\"a\\":\\"b'],
  ["a list", '[{"a":1}]', 1, "an object with named fields"],
  ["a number", '{"a":1}\n7\n', 2, "is 7"],
  ["null", "null", 1, "is null"],
  ["a byte that is no UTF-8", Uint8Array.of(...LINE, 0x22, 0xff, 0x22, 0x0a), 2, "UTF-8"],
  ["half a character at the end", Uint8Array.of(...LINE, 0xc3), 2, "UTF-8"],
  ["UTF-16", Uint8Array.of(0xff, 0xfe, 0x7b, 0x00), 1, "UTF-8"],
  ["a byte order mark in the middle", '{"a":1}\n\ufeff{"a":1}\n', 2, "is not JSON"],
];

for (const [name, content, line, words] of BAD) {
  Deno.test(`refused with its line: ${name}`, async () => {
    const error = await assertRejects(() => read(content), LoraFleetError);
    assertEquals([error.code, error.param], ["invalid_dataset", `line ${line}`]);
    assertStringIncludes(error.message, `line ${line} `);
    assertStringIncludes(error.message, words);
  });
}

Deno.test("a file without line breaks is refused before it fills the memory", async () => {
  async function* endless() {
    const chunk = new Uint8Array(1 << 22).fill(0x20);
    for (;;) yield await Promise.resolve(chunk);
  }
  const error = await assertRejects(() => readJsonLines(endless()).next(), LoraFleetError);
  assertStringIncludes(error.message, "line 1 is longer than");
});
