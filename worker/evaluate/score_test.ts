import { assertEquals } from "@std/assert";
import { cacheTokensFor, passTokensFor } from "./score.ts";

Deno.test("the cache holds all questions, or as many tokens as its limits allow, or the longest question", () => {
  const spec = { layerCount: 2, kvHeadCount: 2, headDim: 64 }; // 512 bytes a token in each tensor
  const tensorOf = (tokens: number) => tokens * 512;
  assertEquals(cacheTokensFor([10, 20, 30], spec, tensorOf(1000)), 60);
  assertEquals(cacheTokensFor([10, 20, 30], spec, tensorOf(40)), 40);
  assertEquals(cacheTokensFor([10, 20, 30], spec, tensorOf(25)), 30);
  assertEquals(cacheTokensFor(Array(100).fill(10_000), spec, 2 ** 31), 2 ** 30 / 4 / 512);
});

Deno.test("a pass holds all documents, or as many tokens as a GPU needs or binds, or the longest document", () => {
  const spec = {
    hiddenSize: 128,
    intermediateSize: 384,
    headCount: 4,
    kvHeadCount: 4,
    headDim: 32,
    fusedProjections: false,
  };
  assertEquals(passTokensFor([10, 20], spec, 2 ** 27), 30);
  assertEquals(passTokensFor(Array(1000).fill(10), spec, 2 ** 27), 4096);
  assertEquals(passTokensFor([9000, 20], spec, 2 ** 27), 9000);
  assertEquals(passTokensFor(Array(1000).fill(10), { ...spec, intermediateSize: 11008 }, 2 ** 27), 3048);
  const fused = { ...spec, intermediateSize: 11008, fusedProjections: true };
  assertEquals(passTokensFor(Array(1000).fill(10), fused, 2 ** 27), 1524);
});
