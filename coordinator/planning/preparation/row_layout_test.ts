import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { countExampleLabels, type Example } from "../../../shared/data/packing/example.ts";
import { packRows } from "../../../shared/data/packing/packing.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { collectRows, flattenRows, heldRows, rowAt } from "./packed_rows.ts";
import { layOut } from "./row_layout.ts";
import { TokenStore } from "./token_store.ts";

const MAX_LENGTH = 8;
const example = fc.array(fc.tuple(fc.nat(1000), fc.nat(1)), { maxLength: MAX_LENGTH })
  .map((tokens): Omit<Example, "lines"> => ({
    tokens: Uint32Array.from(tokens, ([token]) => token),
    completionMask: Uint8Array.from(tokens, ([, trained]) => trained),
  }));

for (const strategy of ["none", "bfd", "wrapped"] as const) {
  Deno.test(`rows from a store are those that packRows makes of the examples: ${strategy}`, () => {
    fc.assert(
      fc.property(fc.array(example, { maxLength: 12 }), fc.infiniteStream(fc.nat()), (bodies, order) => {
        const examples = bodies.map((body, index) => ({ ...body, lines: [index + 1] }));
        using store = new TokenStore(null);
        for (const one of examples) store.add(one);
        // Shuffled, and with a document twice.
        const documents = Uint32Array.from(examples, () => order.next().value! % examples.length);
        const expected = packRows(Array.from(documents, (index) => examples[index]!), strategy, MAX_LENGTH)
          .filter((row) => row.documents.some((document) => countExampleLabels(document) > 0));
        const { rows, rowCount, trainedTokenCount } = layOut(store, documents, strategy, MAX_LENGTH);
        assertEquals(collectRows(rows), flattenRows(expected));
        assertEquals(rowCount, expected.length);
        const labels = expected.flatMap((row) => row.documents).map(countExampleLabels);
        assertEquals(trainedTokenCount, labels.reduce((sum, count) => sum + count, 0));
      }),
    );
  });
}

/** Documents of different lengths, more than a few chunks of tokens in all. */
function* documents(): Generator<Example> {
  for (let index = 0; index < 40; index++) {
    const length = 50_000 + 7919 * index;
    const tokens = Uint32Array.from({ length }, (_, at) => index * 1_000_000 + at);
    yield {
      tokens,
      completionMask: Uint8Array.from(tokens, (token) => token % 3 === 0 ? 1 : 0),
      lines: [index + 1],
    };
  }
}

Deno.test("weights go with their documents into rows", () => {
  using store = new TokenStore(null);
  const examples = [4, 2, 3, 5].map((length, index) => ({
    tokens: new Uint32Array(length).fill(index),
    completionMask: new Uint8Array(length).fill(1),
    lines: [index + 1],
    ...index % 2 === 1 ? { weight: index / 4 } : {},
  }));
  for (const one of examples) store.add(one);
  const layout = (documents: number[]) =>
    collectRows(layOut(store, Uint32Array.from(documents), "bfd", MAX_LENGTH).rows);
  assertEquals(
    layout([3, 1, 0, 2]),
    flattenRows(packRows([3, 1, 0, 2].map((at) => examples[at]!), "bfd", MAX_LENGTH)),
  );
  assertEquals([...layout([3, 1, 0, 2]).documentWeights!].sort(), [0.25, 0.75, 1, 1]);
  assertEquals(Object.hasOwn(layout([0, 2]), "documentWeights"), false);
});

Deno.test("a large dataset goes to a file and comes back the same; nothing is left of the file", async () => {
  const folder = await Deno.makeTempDir();
  const names = () => [...Deno.readDirSync(folder)].length;
  try {
    using inMemory = new TokenStore(null);
    {
      using onDisk = new TokenStore(folder, 2);
      for (const document of documents()) assertEquals(onDisk.add(document), inMemory.add(document));
      const order = Uint32Array.from({ length: 40 }, (_, index) => (index * 7) % 40);
      for (const strategy of ["bfd", "wrapped"] as const) {
        const [disk, memory] = [onDisk, inMemory].map((store) => layOut(store, order, strategy, 500_000));
        assertEquals(collectRows(disk!.rows), collectRows(memory!.rows));
      }
      assertEquals(onDisk.example(39), [...documents()][39]);
    }
    assertEquals(names(), 0);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a disk that takes no file is a storage error", () => {
  using store = new TokenStore("/nowhere", 1);
  const error = assertThrows(() => {
    for (const document of documents()) store.add(document);
  }, LoraFleetError);
  assertEquals(error.code, "storage");
});

Deno.test("spans of weights go with their documents into rows, and come back from the store", () => {
  using store = new TokenStore(null);
  const spans = [{ start: 1, end: 2, weight: 0.5 }, { start: 2, end: 3, weight: Math.fround(0.1) }];
  const examples = [4, 2, 3, 5].map((length, index) => ({
    tokens: new Uint32Array(length).fill(index),
    completionMask: new Uint8Array(length).fill(1),
    lines: [index + 1],
    ...index === 2 ? { weightSpans: spans } : index === 0 ? { weightSpans: spans.slice(1) } : {},
  }));
  for (const one of examples) store.add(one);
  const rowsOf = (documents: number[]) =>
    collectRows(layOut(store, Uint32Array.from(documents), "bfd", MAX_LENGTH).rows);
  for (const order of [[3, 1, 0, 2], [2, 2, 1], [0]]) {
    const expected = packRows(order.map((at) => examples[at]!), "bfd", MAX_LENGTH);
    assertEquals(rowsOf(order), flattenRows(expected));
    assertEquals(expected.map((_, at) => rowAt(heldRows(rowsOf(order)), at)), expected);
  }
  assertEquals(examples.map((_, at) => store.example(at)), examples);
  assertEquals(Object.hasOwn(rowsOf([1, 3]), "weightSpans"), false);
});
