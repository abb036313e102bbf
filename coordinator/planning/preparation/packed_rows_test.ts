import { assertEquals, assertThrows } from "@std/assert";
import { type PackedRow, packRows, rowLength } from "../../../shared/data/packing/packing.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { pcg32 } from "../../../shared/prng.ts";
import { flattenRows, heldRows, longestDocumentOf, rowAt, rowCountOf, rowLengthsOf } from "./packed_rows.ts";

const prng = pcg32(1);
const examples = Array.from({ length: 200 }, (_, i) => {
  const length = 1 + prng.below(16);
  return {
    tokens: Uint32Array.from({ length }, () => prng.below(2 ** 31)),
    completionMask: Uint8Array.from({ length }, () => prng.below(2)),
    lines: [i + 1],
  };
});

for (const strategy of ["none", "bfd", "wrapped"] as const) {
  Deno.test(`flat rows contain every row unchanged: ${strategy}`, () => {
    const rows = packRows(examples, strategy, 16);
    const flat = heldRows(flattenRows(rows));
    assertEquals(rowCountOf(flat), rows.length);
    assertEquals(rows.map((_, index) => plain(rowAt(flat, index))), rows.map(plain));
    assertEquals([...rowLengthsOf(flat)], rows.map(rowLength));
    const documents = rows.flatMap((row) => row.documents);
    assertEquals(longestDocumentOf(flat), Math.max(...documents.map(({ tokens }) => tokens.length)));
  });
}

const plain = ({ documents }: PackedRow) =>
  documents.map(({ tokens, completionMask, lines }) => [[...tokens], [...completionMask], lines]);

Deno.test("a document without lines has none, and no rows are none", () => {
  const document = { tokens: Uint32Array.of(1, 2), completionMask: Uint8Array.of(0, 1) };
  assertEquals(rowAt(heldRows(flattenRows([{ documents: [document] }])), 0).documents, [{
    ...document,
    lines: [],
  }]);
  assertEquals([rowCountOf(flattenRows([])), longestDocumentOf(flattenRows([]))], [0, 0]);
});

Deno.test("more tokens than 32 bits can count are refused", () => {
  const huge = {
    tokens: { length: 2 ** 31 },
    completionMask: [],
  } as unknown as PackedRow["documents"][number];
  const error = assertThrows(
    () => flattenRows([{ documents: [huge, huge] }]),
    LoraFleetError,
    "more than 4294967295",
  );
  assertEquals(error.code, "invalid_dataset");
});
