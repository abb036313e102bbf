/** A base model of random numbers with the shape of TinyLlama 1.1B, in bf16 and two shards. */
import { join } from "@std/path";
import { writeSafetensors } from "../../../shared/checkpoint/safetensors_write.ts";
import { modelTensors } from "../../../shared/model/model_tensors.ts";
import { parseTransformerSpec } from "../../../shared/model/parse_transformer_spec.ts";
import { pcg32 } from "../../../shared/prng.ts";

const CONFIG = {
  ...{ architectures: ["LlamaForCausalLM"], model_type: "llama", torch_dtype: "bfloat16" },
  ...{ hidden_size: 2048, intermediate_size: 5632, num_hidden_layers: 22 },
  ...{ num_attention_heads: 32, num_key_value_heads: 4, vocab_size: 32000 },
  ...{ hidden_act: "silu", rms_norm_eps: 1e-5, rope_theta: 10000, max_position_embeddings: 2048 },
  ...{ tie_word_embeddings: false, attention_bias: false, mlp_bias: false, rope_scaling: null },
};

/** Writes the model; weights are normal with a deviation of 0.02. @returns bytes of the largest shard */
export async function writeRandomModel(folder: string): Promise<number> {
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(join(folder, "config.json"), JSON.stringify(CONFIG));
  const tensors = modelTensors(parseTransformerSpec(CONFIG));
  const countOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);
  const prng = pcg32(1);
  const normal = Float32Array.from({ length: 2 ** 18 }, () => 0.02 * prng.normal());
  const halves = Uint16Array.from(new Uint32Array(normal.buffer), (bits) => bits >>> 16);
  // Tensors begin at different places of one large array.
  const largest = Math.max(...tensors.map(({ shape }) => countOf(shape)));
  const pool = new Uint16Array(largest + 2 ** 20);
  for (let i = 0; i < pool.length; i++) pool[i] = halves[prng.uint32() >>> 14]!;
  const shardOf = ({ layer }: typeof tensors[number]) => (layer ?? 0) < CONFIG.num_hidden_layers / 2 ? 1 : 2;
  const weightMap: Record<string, string> = {};
  let largestShard = 0;
  for (const shard of [1, 2]) {
    const file = `model-0000${shard}-of-00002.safetensors`;
    const own = tensors.filter((tensor) => shardOf(tensor) === shard);
    for (const { name } of own) weightMap[name] = file;
    const stored = own.map(({ name, shape }) => {
      const first = prng.below(2 ** 20);
      const data = pool.subarray(first, first + countOf(shape));
      return {
        name,
        shape,
        dtype: "BF16" as const,
        data: new Uint8Array(data.buffer, 2 * first, data.byteLength),
      };
    });
    await writeSafetensors(join(folder, file), stored);
    largestShard = Math.max(largestShard, (await Deno.stat(join(folder, file))).size);
  }
  await Deno.writeTextFile(
    join(folder, "model.safetensors.index.json"),
    JSON.stringify({ metadata: {}, weight_map: weightMap }),
  );
  return largestShard;
}
