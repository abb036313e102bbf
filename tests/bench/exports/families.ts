/**
 * Writes small models of all families, merged, as GGUF and as safetensors, for families.py to compare llama.cpp with
 * transformers, and tokenizers, of which further ones may be given:
 *
 *     deno run -A tests/bench/exports/families.ts --out <folder> [--tokenizer <folder>]
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
import { architectureMetadata } from "../../../shared/gguf/architecture_metadata.ts";
import { tokenizerMetadata } from "../../../shared/gguf/tokenizer/tokenizer_metadata.ts";
import { ggufModelName } from "../../../shared/gguf/tokenizer/model_name.ts";
import type { GgufMetadata } from "../../../shared/gguf/format.ts";
import { GGUF_FAMILIES, writeFamily } from "../../golden/exports/gguf_families.ts";
import { goldenPath, LADDER_CASES, loadLadderCase } from "../../golden/golden.ts";

/** Tokens without meaning: the models have no tokenizer. */
const tokenizerOf = (size: number): GgufMetadata => [
  ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
  ["tokenizer.ggml.pre", { type: "string", value: "gpt-2" }],
  ["tokenizer.ggml.tokens", { type: "strings", value: Array.from({ length: size }, (_, id) => `<${id}>`) }],
  ["tokenizer.ggml.token_type", { type: "i32s", value: Array.from({ length: size }, () => 1) }],
  ["tokenizer.ggml.merges", { type: "strings", value: ["<1> <2>"] }],
];

const parsed = parseArgs({
  options: { out: { type: "string" }, tokenizer: { type: "string", multiple: true } },
}).values;
const out = parsed.out!;

const TEXTS = [
  "Hello world",
  "  two spaces, a tab\tand\n\na line",
  "It's 12345 o'clock: don't!",
  "Grüße, naïve 안녕하세요 🙂",
  "snake_case(x) == 3.14;",
];
const GEMMA_TEXTS = [
  "<bos><start_of_turn>user\nHi  there<end_of_turn>\n\n\n<start_of_turn>model\n",
  "<h1> a   b  c</h1>",
];
const CHATS: Readonly<Record<string, readonly string[]>> = {
  gemma: GEMMA_TEXTS,
  gemma3: [...GEMMA_TEXTS, "def f():\n        return\n\n\n\n\tx  <unused5> <mask>", "a\t\t\tb ▁▁ c"],
  phi3: ["<|user|>\nHello world<|end|>\n<|assistant|>\n", "<s><|system|>  x </s> y<|end|>"],
};

const TOKENIZERS: readonly (readonly [name: string, folder: string])[] = [
  ["byte_fallback", goldenPath("data/byte_fallback")],
  ["byte_level", goldenPath("data/byte_level")],
  ...["gemma", "llama", "phi3"].map((name) => [name, goldenPath(`exports/tokenizer_${name}`)] as const),
  ...(parsed.tokenizer ?? []).map((folder) =>
    [folder.split("/").findLast((part) => part !== "")!, folder] as const
  ),
];

for (const name of LADDER_CASES) await writeCase(`ladder_${name}`, sourceOf(name));
for (const name of Object.keys(GGUF_FAMILIES)) {
  const folder = await Deno.makeTempDir();
  const written = await writeFamily(name, folder);
  await writeCase(name, { ...written, doubleQuantization: true, base: "nf4" });
  await Deno.remove(folder, { recursive: true });
}
for (const [name, folder] of TOKENIZERS) await writeTokenizer(name, folder);

async function writeCase(name: string, source: MergeSource): Promise<void> {
  const folder = `${out}/${name}`;
  await Deno.remove(folder, { recursive: true }).catch(() => {});
  await Deno.mkdir(folder, { recursive: true });
  const model = await openMerged(source);
  const output = openOutputFolder(folder);
  const tokenizer = tokenizerOf(model.spec.vocabSize);
  try {
    for (const type of ["F32", "F16", "Q8_0"] as const) {
      await output.write(
        `model-${type}.gguf`,
        planModelGguf(model, type, ggufModelName(name, []), tokenizer).bytes(),
      );
    }
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError)) throw thrown;
    console.log(`${name}: ${messageOf(thrown)}`);
    await Deno.remove(folder, { recursive: true });
    return;
  }
  await planMergedFiles(model, "float32").write(output);
  const config = await Deno.readTextFile(`${source.modelFolder}/config.json`);
  await output.text("config.json", mergedConfig(config, "float32", model.spec));
  const adapter = planAdapterGguf(model.spec, readDeltas(source.adapterPath, source.lora), "F32", name);
  await output.write("adapter.gguf", adapter.bytes());
  // With an adapter of nearly nothing the base model itself is written.
  const bare = await openMerged({
    ...source,
    lora: { ...source.lora, lora_alpha: Number.MIN_VALUE, alpha_pattern: undefined },
  });
  await output.write("base.gguf", planModelGguf(bare, "F32", ggufModelName(name, []), tokenizer).bytes());
  console.log(`${name}: written`);
}

async function writeTokenizer(name: string, folder: string): Promise<void> {
  const tokenizer = await loadTokenizer(folder);
  const { spec } = await openMerged(sourceOf("gqa_tied"));
  const metadata: GgufMetadata = [
    ["general.architecture", { type: "string", value: "llama" }],
    ["general.name", { type: "string", value: ggufModelName(name, tokenizer.addedTokens) }],
    ...architectureMetadata({ ...spec, vocabSize: tokenizer.vocabSize }),
    ...await tokenizerMetadata(folder, tokenizer.vocabSize),
  ];
  await Deno.mkdir(`${out}/tokenizers`, { recursive: true });
  const bytes = await Array.fromAsync(planGguf(metadata, []).bytes());
  await Deno.writeFile(`${out}/tokenizers/${name}.gguf`, Uint8Array.from(bytes.flatMap((part) => [...part])));
  const isChat = (text: string) => !TEXTS.includes(text);
  const texts = [...TEXTS, ...CHATS[name] ?? []].map((text) => (
    {
      text,
      special: isChat(text),
      ids: tokenizer.encode(text, { addSpecialTokens: false, splitSpecialTokens: !isChat(text) }),
    }
  ));
  await Deno.writeTextFile(`${out}/tokenizers/${name}.json`, JSON.stringify(texts));
}

function sourceOf(name: typeof LADDER_CASES[number]): MergeSource {
  const { modelFolder, adapterFolder, lora, doubleQuantization } = loadLadderCase(name);
  const adapterPath = `${adapterFolder}/adapter_model.safetensors`;
  return { modelFolder, adapterPath, lora, doubleQuantization, base: "nf4" };
}
