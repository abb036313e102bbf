/** The small models that llama.cpp's own scripts have converted, made anew from their formula. */
import { z } from "zod";
import { writeSafetensors } from "../../../shared/checkpoint/safetensors_write.ts";
import { loraSchema, type LoraSpec } from "../../../shared/job/job_spec_schema.ts";
import { goldenPath } from "../golden.ts";

const shapes = z.record(z.string(), z.array(z.int()));
const values = z.record(z.string(), z.unknown());
/** By the tensor's name: its shape, rows first, and the first 16 digits of its SHA-256 in f32. */
const tensors = z.record(z.string(), z.tuple([z.array(z.int()), z.string()]));
const familySchema = z.strictObject({
  ...{ config: values, shapes, adapter_shapes: shapes, tokenizer: z.string() },
  ...{ target_modules: z.array(z.string()), metadata: values, tensors },
  ...{ adapter_metadata: values, adapter_tensors: tensors },
});
export type GgufFamily = z.output<typeof familySchema>;

const schema = z.strictObject({
  families: z.record(z.string(), familySchema),
  tokenizers: z.record(z.string(), values),
});
const GOLDEN = schema.parse(JSON.parse(Deno.readTextFileSync(goldenPath("exports/gguf_families.json"))));
export const GGUF_FAMILIES: Readonly<Record<string, GgufFamily>> = GOLDEN.families;
/** The metadata under `tokenizer.`, by the name of the tokenizer's folder. */
export const GGUF_TOKENIZERS = GOLDEN.tokenizers;

/** `values_of` of make/exports/golden_gguf_families.py. */
function valuesOf(name: string, shape: readonly number[]): Float32Array {
  let seed = 0;
  for (const byte of new TextEncoder().encode(name)) seed = (Math.imul(seed, 31) + byte) >>> 0;
  const count = shape.reduce((product, size) => product * size, 1);
  const isNorm = name.includes("norm");
  return Float32Array.from({ length: count }, (_, i) => {
    let x = (Math.imul(i, 2654435761) + seed) >>> 0;
    x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d) >>> 0;
    x = Math.imul(x ^ (x >>> 12), 0x297a2d39) >>> 0;
    const value = ((x >>> 16) % 255 - 127) / 256;
    if (!isNorm) return value;
    return value / 4 + (name.includes("gemma") ? 0 : 1);
  });
}

async function write(path: string, name: string, given: Readonly<Record<string, readonly number[]>>) {
  const list = Object.entries(given).map(([tensor, shape]) => (
    { name: tensor, dtype: "F32", shape, data: valuesOf(`${name}/${tensor}`, shape) } as const
  ));
  await writeSafetensors(path, list);
}

export interface WrittenFamily {
  readonly modelFolder: string;
  readonly adapterFolder: string;
  readonly adapterPath: string;
  readonly lora: LoraSpec;
}

/** Writes the base model with its tokenizer, and an adapter for it. */
export async function writeFamily(name: string, folder: string): Promise<WrittenFamily> {
  const family = GGUF_FAMILIES[name]!;
  await Deno.mkdir(`${folder}/adapter`, { recursive: true });
  await Deno.mkdir(`${folder}/model`);
  const modelFolder = `${folder}/model`;
  await Deno.writeTextFile(`${modelFolder}/config.json`, JSON.stringify(family.config));
  await write(`${modelFolder}/model.safetensors`, name, family.shapes);
  for (const file of ["tokenizer.json", "tokenizer_config.json"]) {
    await Deno.copyFile(
      goldenPath(`exports/tokenizer_${family.tokenizer}/${file}`),
      `${modelFolder}/${file}`,
    );
  }
  const adapterPath = `${folder}/adapter/adapter_model.safetensors`;
  await write(adapterPath, name, family.adapter_shapes);
  const config = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    r: 4,
    lora_alpha: 8,
    target_modules: family.target_modules,
  };
  await Deno.writeTextFile(`${folder}/adapter/adapter_config.json`, JSON.stringify(config));
  const lora = loraSchema.parse({ r: 4, lora_alpha: 8, target_modules: family.target_modules });
  return { modelFolder, adapterFolder: `${folder}/adapter`, adapterPath, lora };
}
