/** A base model and rows that the toy engine of the workers' tests can train on. */
import { toFile } from "openai";
import { writeSafetensors } from "../../shared/checkpoint/safetensors_write.ts";

const assets = new URL("../../deploy/demo/assets", import.meta.url).pathname;

/** A Llama whose q_proj is 16×16: LoRA of rank 4 has 64 elements a factor, as the toy engine's. */
export async function writeToyModel(folder: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const config = JSON.parse(await Deno.readTextFile(`${assets}/base/config.json`));
  const [hidden, vocab] = [16, config.vocab_size];
  const sizes = { hidden_size: hidden, intermediate_size: hidden, head_dim: hidden, num_hidden_layers: 1 };
  const heads = { num_attention_heads: 1, num_key_value_heads: 1 };
  await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify({ ...config, ...sizes, ...heads }));
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    await Deno.copyFile(`${assets}/base/${name}`, `${folder}/${name}`);
  }
  const layer = "model.layers.0.";
  const shapes: Record<string, number[]> = {
    "model.embed_tokens.weight": [vocab, hidden],
    "model.norm.weight": [hidden],
    [`${layer}input_layernorm.weight`]: [hidden],
    [`${layer}post_attention_layernorm.weight`]: [hidden],
  };
  for (const name of ["q", "k", "v", "o"]) shapes[`${layer}self_attn.${name}_proj.weight`] = [hidden, hidden];
  for (const name of ["gate", "up", "down"]) shapes[`${layer}mlp.${name}_proj.weight`] = [hidden, hidden];
  await writeSafetensors(
    `${folder}/model.safetensors`,
    Object.entries(shapes).map(([name, shape]) => ({
      ...{ name, shape, dtype: "F32" as const },
      data: new Float32Array(shape.reduce((a, b) => a * b)).map((_, index) => Math.sin(index)),
    })),
  );
}

/** `count` of the demo's rows from row `from` on, as a file to upload. */
export async function toyFile(from: number, count: number): Promise<File> {
  const lines = (await Deno.readTextFile(`${assets}/train.jsonl`)).split("\n");
  return await toFile(new TextEncoder().encode(lines.slice(from, from + count).join("\n")), "train.jsonl");
}
