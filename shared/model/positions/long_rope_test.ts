import { assertEquals } from "@std/assert";
import { longRopeStart, ropeRow } from "./long_rope.ts";
import type { Rope } from "../transformer_spec.ts";

const plain: Rope = { theta: 10000, scaling: null, dimensions: 4 };
const long: Rope = {
  ...plain,
  scaling: {
    kind: "longrope",
    shortFactors: [1, 1],
    longFactors: [2, 3],
    attentionFactor: 1,
    originalMaxPositions: 8,
  },
};

Deno.test("long factors matter only if a document can be longer than the original positions", () => {
  const startOf = (ropes: Rope[]) => [7, 8, 9].map((positions) => longRopeStart({ ropes }, positions));
  assertEquals(startOf([long]), [null, null, 8]);
  assertEquals(startOf([plain, long]), [null, null, 8]);
  assertEquals(startOf([plain]), [null, null, null]);
});

Deno.test("the rows of long documents lie behind those of short ones", () => {
  assertEquals([ropeRow(0, 8, 8), ropeRow(7, 8, 8), ropeRow(0, 9, 8), ropeRow(8, 9, 8)], [0, 7, 8, 16]);
  assertEquals(ropeRow(8, 9, null), 8);
});
