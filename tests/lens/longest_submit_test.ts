/** No submit lasts longer than 200 ms on any card, as predicted: not where one dispatch alone would, not in a worker's first micro-batch. */
import { assert, assertEquals } from "@std/assert";
import { parseTransformerSpec } from "../../shared/model/parse_transformer_spec.ts";
import { tryCards } from "./card_table.ts";
import { LENS_CARDS, lensCard } from "./cards.ts";
import { parseLensOptions } from "./options.ts";

const LONGEST_MS = 200;

/** Whole dispatches of these last up to 316 ms (output layer), 260 ms (attention, 16,384 tokens), 2.2 s (the same on the smallest card). */
const CASES: readonly (readonly [args: string, cards: readonly string[]])[] = [
  ["--model llama3-1b --tokens 4096", ["m2-24", "mi300x"]],
  ["--model llama3-8b", LENS_CARDS.map(({ key }) => key)],
  ["--model llama2-7b --lora-r 256", ["m2-24"]],
  ["--model llama3-70b", ["a100-80"]],
  ["--model tinyllama-1b --tokens 16384", ["m2-24"]],
];

/** Gemma 3 4B: five of six layers see 1024 keys; the sixth does sixteen times their work with the same kernel. */
const WINDOWED = {
  architectures: ["Gemma3ForCausalLM"],
  model_type: "gemma3_text",
  hidden_activation: "gelu_pytorch_tanh",
  rms_norm_eps: 1e-6,
  torch_dtype: "bfloat16",
  ...{ hidden_size: 2560, intermediate_size: 10_240, num_hidden_layers: 12, vocab_size: 32_000 },
  ...{ num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256, query_pre_attn_scalar: 256 },
  ...{ sliding_window: 1024, sliding_window_pattern: 6, rope_theta: 1e6, rope_local_base_freq: 1e4 },
  max_position_embeddings: 131_072,
};

Deno.test("submits stay below 200 ms where some layers have a window", async () => {
  const options = parseLensOptions("--tokens 16384 --lora-r 16 --card all".split(" "));
  const [result] = await tryCards({ ...options, spec: parseTransformerSpec(WINDOWED) }, [
    lensCard("rtx3090"),
  ]);
  const { longestSubmitMs } = result!.step!;
  assert(longestSubmitMs > 10 && longestSubmitMs <= LONGEST_MS, `${longestSubmitMs} ms`);
});

for (const [args, cards] of CASES) {
  Deno.test(`submits stay below 200 ms on ${cards.length === 1 ? cards[0] : `${cards.length} cards`}: ${args}`, async () => {
    const options = parseLensOptions(`${args} --card all`.split(" "));
    const results = await tryCards(options, cards.map(lensCard));
    assertEquals(
      results.filter(({ step }) => step === null).map(({ card, note }) => `${card.key}: ${note}`),
      [],
    );
    for (const { card, step } of results) {
      const { longestSubmitMs } = step!;
      assert(longestSubmitMs > 10 && longestSubmitMs <= LONGEST_MS, `${card.name}: ${longestSubmitMs} ms`);
    }
  });
}
