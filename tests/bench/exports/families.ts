/**
 * Writes the golden ladder's models, merged, as GGUF and as safetensors, for families.py to compare llama.cpp with transformers:
 *
 *     deno run -A tests/bench/exports/families.ts --out <folder>
 */
import { parseArgs } from "node:util";
import { openOutputFolder } from "../../../coordinator/exports/files/output_folder.ts";
import { planAdapterGguf } from "../../../coordinator/exports/gguf/adapter_gguf.ts";
import { planGguf } from "../../../coordinator/exports/gguf/gguf_file.ts";
import { planModelGguf } from "../../../coordinator/exports/gguf/model_gguf.ts";
import { readDeltas } from "../../../shared/checkpoint/merge/adapter_deltas.ts";
import { type MergeSource, openMerged } from "../../../shared/checkpoint/merge/merged_model.ts";
import { mergedConfig } from "../../../coordinator/exports/merge/model_configs.ts";
import { planMergedFiles } from "../../../coordinator/exports/merge/write_merged.ts";
import { loadTokenizer } from "../../../shared/data/tokenizer/tokenizer.ts";
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import { architectureMetadata } from "../../../shared/gguf/architectures.ts";
import { tokenizerMetadata } from "../../../shared/gguf/tokenizer/tokenizer_metadata.ts";
import type { GgufMetadata } from "../../../shared/gguf/format.ts";
import { goldenPath, LADDER_CASES, loadLadderCase } from "../../golden/golden.ts";

/** Tokens without meaning: the models have no tokenizer. */
const tokenizerOf = (size: number): GgufMetadata => [
  ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
  ["tokenizer.ggml.pre", { type: "string", value: "gpt-2" }],
  ["tokenizer.ggml.tokens", { type: "strings", value: Array.from({ length: size }, (_, id) => `<${id}>`) }],
  ["tokenizer.ggml.token_type", { type: "i32s", value: Array.from({ length: size }, () => 1) }],
  ["tokenizer.ggml.merges", { type: "strings", value: ["<1> <2>"] }],
];

const out = parseArgs({ options: { out: { type: "string" } } }).values.out!;
for (const name of LADDER_CASES) {
  const source = sourceOf(name);
  const folder = `${out}/${name}`;
  await Deno.remove(folder, { recursive: true }).catch(() => {});
  await Deno.mkdir(folder, { recursive: true });
  const model = await openMerged(source);
  const output = openOutputFolder(folder);
  try {
    const gguf = planModelGguf(model, "F32", name, tokenizerOf(model.spec.vocabSize));
    await output.write("model.gguf", gguf.bytes());
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError)) throw thrown;
    console.log(`${name}: ${messageOf(thrown)}`);
    await Deno.remove(folder, { recursive: true });
    continue;
  }
  await planMergedFiles(model, "float32").write(output);
  const config = await Deno.readTextFile(`${source.modelFolder}/config.json`);
  await output.text("config.json", mergedConfig(config, "float32", model.spec));
  const adapter = planAdapterGguf(model.spec, readDeltas(source.adapterPath, source.lora), "F32", name);
  await output.write("adapter.gguf", adapter.bytes());
  // With an adapter of nearly nothing the base model itself is written.
  const bare = await openMerged({ ...source, lora: { ...source.lora, lora_alpha: Number.MIN_VALUE } });
  const base = planModelGguf(bare, "F32", name, tokenizerOf(model.spec.vocabSize));
  await output.write("base.gguf", base.bytes());
  console.log(`${name}: written`);
}

const TEXTS = [
  "Hello world",
  "  two spaces, a tab\tand\n\na line",
  "It's 12345 o'clock: don't!",
  "Grüße, naïve 안녕하세요 🙂",
  "snake_case(x) == 3.14;",
];

for (
  const [name, folder] of [["byte_fallback", goldenPath("data/byte_fallback")], [
    "byte_level",
    goldenPath("data/byte_level"),
  ]] as const
) {
  const tokenizer = await loadTokenizer(folder);
  const { spec } = await openMerged(sourceOf("gqa_tied"));
  const metadata: GgufMetadata = [
    ["general.architecture", { type: "string", value: "llama" }],
    ...architectureMetadata({ ...spec, vocabSize: tokenizer.vocabSize }),
    ...await tokenizerMetadata(folder, tokenizer.vocabSize),
  ];
  await Deno.mkdir(`${out}/tokenizers`, { recursive: true });
  const bytes = await Array.fromAsync(planGguf(metadata, []).bytes());
  await Deno.writeFile(`${out}/tokenizers/${name}.gguf`, Uint8Array.from(bytes.flatMap((part) => [...part])));
  const texts = TEXTS.map((text) => ({ text, ids: tokenizer.encode(text, { addSpecialTokens: false }) }));
  await Deno.writeTextFile(`${out}/tokenizers/${name}.json`, JSON.stringify(texts));
}

function sourceOf(name: typeof LADDER_CASES[number]): MergeSource {
  const { modelFolder, adapterFolder, lora, doubleQuantization } = loadLadderCase(name);
  const adapterPath = `${adapterFolder}/adapter_model.safetensors`;
  return { modelFolder, adapterPath, lora, doubleQuantization, base: "nf4" };
}
