import { assertEquals, assertStringIncludes } from "@std/assert";
import { NF4_CODEBOOK } from "../../../shared/checkpoint/nf4/codebook.ts";
import { CODEBOOK_WGSL } from "./nf4_codebook.ts";

Deno.test("the WGSL names every value once, in the codebook's order and as f32 without rounding", () => {
  const expression = /return (.*);/.exec(CODEBOOK_WGSL)![1]!;
  const literals = expression.match(/-?\d+\.\d+/g)!.map(Number);
  assertEquals(Float32Array.from(literals), NF4_CODEBOOK);
  assertEquals(literals, [...NF4_CODEBOOK]);
});

Deno.test("the lowest bit selects between neighbours, the highest between the halves", () => {
  assertStringIncludes(CODEBOOK_WGSL, "select(-1.0, -0.6961928009986877, bit_0)");
  assertStringIncludes(CODEBOOK_WGSL, "bit_2), bit_3);");
});
