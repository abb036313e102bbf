import { assertEquals } from "@std/assert";
import { vllmRank } from "./vllm_rank.ts";

Deno.test("vLLM gets the next rank that it accepts, of the largest module", () => {
  const ranks = [4, 16, 17, 64, 300, 600].map((r) => vllmRank({ r }));
  assertEquals(ranks, [8, 16, 32, 64, 320, 600]);
  assertEquals(vllmRank({ r: 8, rank_pattern: { q_proj: 40, v_proj: 4 } }), 64);
});
