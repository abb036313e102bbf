import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { z } from "zod";
import { readGolden } from "../../../tests/golden/data_goldens.ts";
import type { Example } from "./example.ts";
import { truncateExample } from "./example.ts";
import { countLabels, labelWeight } from "./micro_batch.ts";
import { type PackedRow, packRows, rowLength, toMicroBatch } from "./packing.ts";

const linesOf = (rows: readonly PackedRow[]) =>
  [...new Set(rows.flatMap(({ documents }) => documents.flatMap(({ lines }) => lines ?? [])))].sort((a, b) =>
    a - b
  );

const idRows = z.array(z.array(z.number()));
const golden = await readGolden(
  "data/packing.json",
  z.array(z.object({
    lengths: z.array(z.number()),
    max_length: z.number(),
    bfd: idRows,
    bfd_lengths: idRows,
    wrapped: idRows,
  })),
);

/** Documents whose tokens say where they came from; every token but the first is trained. */
function documentsOf(lengths: readonly number[]): Example[] {
  return lengths.map((length, index) => ({
    tokens: Uint32Array.from({ length }, (_, place) => index * 100 + place),
    completionMask: Uint8Array.from({ length }, (_, place) => place === 0 ? 0 : 1),
  }));
}

const tokensOf = (row: PackedRow) => row.documents.flatMap(({ tokens }) => [...tokens]);
const lengthsOf = (row: PackedRow) => row.documents.map(({ tokens }) => tokens.length);

Deno.test("lengths 5 (cut to 4), 2, 3, 1 at 4 → [4], [3, 1], [2]", () => {
  assertEquals(packRows(documentsOf([4, 2, 3, 1]), "bfd", 4).map(lengthsOf), [[4], [3, 1], [2]]);
});

Deno.test("bfd and wrapped give TRL's rows, token for token", () => {
  for (const { lengths, max_length, bfd, bfd_lengths, wrapped } of golden) {
    const documents = documentsOf(lengths);
    const cut = documentsOf(lengths.map((length) => Math.min(length, max_length)));
    const rows = packRows(cut, "bfd", max_length);
    assertEquals(rows.map(lengthsOf), bfd_lengths);
    assertEquals(rows.map(tokensOf), bfd);
    assertEquals(packRows(documents, "wrapped", max_length).map(tokensOf), wrapped);
  }
});

const lengths = fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 40 });

Deno.test("every token is in exactly one row, no row is too long, no document is cut by bfd", () => {
  fc.assert(
    fc.property(
      lengths,
      fc.constantFrom("none" as const, "bfd" as const, "wrapped" as const),
      (all, strategy) => {
        const documents = documentsOf(all);
        const rows = packRows(documents, strategy, 12);
        const sorted = (ids: number[]) => ids.sort((a, b) => a - b);
        assertEquals(sorted(rows.flatMap(tokensOf)), sorted(documents.flatMap(({ tokens }) => [...tokens])));
        for (const row of rows) assertEquals(rowLength(row) > 0 && rowLength(row) <= 12, true);
        if (strategy !== "wrapped") {
          assertEquals(
            sorted(rows.flatMap(lengthsOf)),
            sorted(all.filter((length) => length > 0)),
          );
        }
        if (strategy === "wrapped") { for (const row of rows.slice(0, -1)) assertEquals(rowLength(row), 12); }
      },
    ),
  );
});

Deno.test("a document longer than a row is the caller's to decide", () => {
  for (const strategy of ["none", "bfd"] as const) {
    assertThrows(() => packRows(documentsOf([5]), strategy, 4), RangeError, "5 tokens");
  }
});

Deno.test("a hundred thousand documents fill their rows (a search over all rows would take minutes)", () => {
  const many = Array.from({ length: 100_000 }, (_, i) => {
    const length = 1 + (i * 7919) % 64;
    return { tokens: new Uint32Array(length), completionMask: new Uint8Array(length) };
  });
  const tokenCount = many.reduce((sum, { tokens }) => sum + tokens.length, 0);
  const rows = packRows(many, "bfd", 64);
  assertEquals(
    rows.length <= Math.ceil(1.01 * tokenCount / 64),
    true,
    `${rows.length} rows for ${tokenCount} tokens`,
  );
});

Deno.test("rows end to end: labels stay inside a document, positions restart", () => {
  const [a, b, c] = documentsOf([3, 1, 2]) as [Example, Example, Example];
  const batch = toMicroBatch([{ documents: [a, b] }, {
    documents: [{ ...c, completionMask: Uint8Array.of(1, 0) }],
  }]);
  assertEquals([...batch.tokens], [0, 1, 2, 100, 200, 201]);
  assertEquals([...batch.labels], [1, 2, -100, -100, -100, -100]);
  assertEquals([...batch.positions], [0, 1, 2, 0, 0, 1]);
  assertEquals([...batch.segmentStarts], [0, 0, 0, 3, 4, 4]);
});

Deno.test("a wrapped row is one segment: its documents see each other, and their first tokens are predicted", () => {
  const documents = documentsOf([2, 2]).map((document) => ({
    ...document,
    completionMask: Uint8Array.of(1, 1),
  }));
  const batch = toMicroBatch(packRows(documents, "wrapped", 4));
  assertEquals([...batch.labels], [1, 100, 101, -100]);
  assertEquals([...batch.positions], [0, 1, 2, 3]);
  assertEquals([...batch.segmentStarts], [0, 0, 0, 0]);
});

Deno.test("a row knows the lines that it was made of, also where it begins and ends within a document", () => {
  const documents = documentsOf([3, 2, 6, 1]).map((document, i) => ({ ...document, lines: [10 * i + 1] }));
  // Tokens   000 11 | 22222 | 2 3
  assertEquals(packRows(documents, "wrapped", 5).map((row) => linesOf([row])), [[1, 11], [21], [21, 31]]);
  const packed = packRows(documents, "bfd", 6);
  assertEquals(packed.map((row) => linesOf([row])), [[21], [1, 11, 31]]);
  assertEquals(linesOf([...packed, ...packed]), [1, 11, 21, 31]);
  assertEquals(packRows(documentsOf([2]), "wrapped", 4).map((row) => linesOf([row])), [[]]);
});

Deno.test("a micro-batch has weights if a document has one that is not 1; labels are counted by them", () => {
  const [a, b, c] = documentsOf([3, 2, 4]);
  const plain = toMicroBatch([{ documents: [a!, b!] }, { documents: [{ ...c!, weight: 1 }] }]);
  assertEquals([Object.hasOwn(plain, "weights"), labelWeight(plain), countLabels(plain)], [false, 6, 6]);
  const weighted = toMicroBatch([{ documents: [a!, { ...b!, weight: 0.5 }] }, {
    documents: [{ ...c!, weight: 3 }],
  }]);
  assertEquals([...weighted.weights!], [1, 1, 1, 0.5, 0.5, 3, 3, 3, 3]);
  assertEquals([labelWeight(weighted), countLabels(weighted)], [2 + 0.5 + 9, 6]);
});

Deno.test("spans weigh the labels of their own tokens, times the document's weight; a cut document keeps what is left", () => {
  const [a, b] = documentsOf([5, 3]);
  const spans = [{ start: 1, end: 3, weight: 0.25 }, { start: 4, end: 5, weight: 3 }];
  const weighted = { ...a!, weight: 2, weightSpans: spans };
  const batch = toMicroBatch([{ documents: [b!, weighted] }]);
  // The label of a token is the next token, which the span is of.
  assertEquals([...batch.weights!], [1, 1, 1, 0.5, 0.5, 2, 6, 2]);
  assertEquals(labelWeight(batch), 2 + 0.5 + 0.5 + 2 + 6);
  assertEquals(truncateExample(weighted, 4).weightSpans, [spans[0]!]);
  assertEquals(truncateExample(weighted, 2).weightSpans, [{ start: 1, end: 2, weight: 0.25 }]);
  assertEquals(Object.hasOwn(truncateExample(weighted, 1), "weightSpans"), false);
  const tiny = {
    ...a!,
    weight: Math.fround(1e-40),
    weightSpans: [{ start: 0, end: 5, weight: Math.fround(1e-40) }],
  };
  assertEquals(toMicroBatch([{ documents: [tiny] }]).weights!.every((weight) => weight > 0), true);
});
