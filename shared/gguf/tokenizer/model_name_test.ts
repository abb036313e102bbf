import { assertEquals } from "@std/assert";
import { ggufModelName } from "./model_name.ts";

const token = (content: string, rstrip: boolean) => ({ content, special: true, rstrip });
const PLAIN = ["<unk>", "<s>", "<|endoftext|>", "</s>"].map((content) => token(content, false));
const PHI3 = [...PLAIN, token("<|user|>", true)];

Deno.test("a model whose special tokens take the white space behind them is called Phi-3, no other is", () => {
  assertEquals(ggufModelName("tuned", PHI3), "tuned (Phi-3)");
  assertEquals(ggufModelName("Phi-3-mini-tuned", PHI3), "Phi-3-mini-tuned");
  assertEquals(ggufModelName("tuned", PLAIN), "tuned");
  assertEquals(ggufModelName("Phi-3.5-like-phi3", PLAIN), "Phi_3.5-like-phi_3");
  // llama.cpp would not load it.
  assertEquals(ggufModelName("phi3-tuned", [token("<|user|>", true)]), "phi_3-tuned");
});
