import { assertEquals, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { z } from "zod";
import { openSafetensors } from "../../../shared/checkpoint/safetensors.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { goldenPath, LADDER_CASES, loadLadderCase } from "../../../tests/golden/golden.ts";
import { openOutputFolder } from "../files/output_folder.ts";
import { readDeltas } from "../../../shared/checkpoint/merge/adapter_deltas.ts";
import {
  type MergeBase,
  type MergeSource,
  openMerged,
} from "../../../shared/checkpoint/merge/merged_model.ts";
import type { MergedDtype } from "../../../shared/checkpoint/merge/round.ts";
import { planMergedFiles } from "./write_merged.ts";

/** The order of a tensor's hashes. */
const KINDS = ["original", "original_float32", "nf4", "nf4_float32"] as const;
const goldenSchema = z.record(
  z.string(),
  z.strictObject({
    dtype: z.enum(["bfloat16", "float16", "float32"]),
    tensors: z.record(z.string(), z.string().transform((text) => text.split(" "))),
    shard: z.string(),
    texts: z.record(z.string(), z.string()),
    sizes: z.record(z.string(), z.number()),
  }),
);
const GOLDEN = goldenSchema.parse(JSON.parse(Deno.readTextFileSync(goldenPath("exports/merge.json"))));

/** By the tensor's name. */
function expectedHashes(name: typeof LADDER_CASES[number], kind: typeof KINDS[number]) {
  const entries = Object.entries(GOLDEN[name]!.tensors);
  return Object.fromEntries(entries.map(([tensor, hashes]) => [tensor, hashes[KINDS.indexOf(kind)]!]));
}

function sourceOf(name: typeof LADDER_CASES[number], base: MergeBase): MergeSource {
  const { modelFolder, adapterFolder, lora, doubleQuantization } = loadLadderCase(name);
  const adapterPath = `${adapterFolder}/adapter_model.safetensors`;
  return { modelFolder, adapterPath, lora, doubleQuantization, base };
}

/** Merges into a folder, which is removed afterwards. */
async function mergeInto<T>(
  source: MergeSource,
  dtype: MergedDtype,
  shardBytes: number | undefined,
  use: (folder: string) => T | Promise<T>,
): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-merge-" });
  try {
    const files = planMergedFiles(await openMerged(source), dtype, shardBytes);
    let written = 0;
    const output = openOutputFolder(folder, { onBytes: (bytes) => void (written = bytes) });
    await files.write(output);
    const weights = output.files.filter(({ name }) => name.endsWith(".safetensors"));
    assertEquals(files.totalBytes, weights.reduce((total, { size }) => total + size, 0));
    assertEquals(written, output.files.reduce((total, { size }) => total + size, 0));
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function tensorHashes(folder: string): Record<string, string> {
  const file = openSafetensors(`${folder}/model.safetensors`);
  assertEquals(file.metadata, { format: "pt" });
  return Object.fromEntries(
    [...file.tensors.keys()].sort().map((name) => [
      name,
      createHash("sha256").update(file.read(name)).digest("hex").slice(0, 16),
    ]),
  );
}

for (const name of LADDER_CASES) {
  const golden = GOLDEN[name]!;
  for (const base of ["original", "nf4"] as const) {
    Deno.test(`${name}: merged into the ${base} base, every bit is PEFT's merge_and_unload`, async () => {
      const source = sourceOf(name, base);
      assertEquals(
        await mergeInto(source, golden.dtype, undefined, tensorHashes),
        expectedHashes(name, base),
      );
      assertEquals(
        await mergeInto(source, "float32", undefined, tensorHashes),
        expectedHashes(name, `${base}_float32`),
      );
    });
  }
}

Deno.test("shards have transformers' sizes, names and index", async () => {
  const { texts, sizes } = GOLDEN["llama3_sharded"]!;
  await mergeInto(sourceOf("llama3_sharded", "original"), "bfloat16", 80_000, (folder) => {
    for (const [name, size] of Object.entries(sizes)) {
      assertEquals([name, Deno.statSync(`${folder}/${name}`).size], [name, size]);
    }
    const name = "model.safetensors.index.json";
    assertEquals(Deno.readTextFileSync(`${folder}/${name}`), texts[name]);
  });
});

Deno.test("an adapter of a different base model is refused, naming its layer", async () => {
  const source = { ...sourceOf("gqa_tied", "nf4"), modelFolder: loadLadderCase("qwen3_tied").modelFolder };
  const error = await assertRejects(() => openMerged(source), LoraFleetError);
  assertEquals(error.code, "invalid_model");
  assertEquals(error.message.includes("belongs to a different base model"), true, error.message);
});

Deno.test("a base model that is stored in NF4 has no original weights; its NF4 base merges", async () => {
  const source = sourceOf("gqa_tied", "original");
  const modelFolder = `${source.modelFolder}_nf4`;
  const error = await assertRejects(() => openMerged({ ...source, modelFolder }), LoraFleetError);
  assertEquals([error.code, error.param], ["invalid_request", "base"]);
  const nf4 = { ...source, modelFolder, base: "nf4" } as const;
  assertEquals(
    await mergeInto(nf4, "float32", undefined, tensorHashes),
    expectedHashes("gqa_tied", "nf4_float32"),
  );
});

Deno.test("rank_pattern and alpha_pattern: each layer has its own scale, and its rank must be the adapter's", async () => {
  const source = sourceOf("gqa_tied", "nf4");
  const q_proj = source.lora.lora_alpha * 3;
  const deltas = readDeltas(source.adapterPath, { ...source.lora, alpha_pattern: { q_proj } });
  const [query, key] = ["q_proj", "k_proj"].map((name) => deltas.get(`model.layers.0.self_attn.${name}`)!);
  assertEquals([query!.scale, key!.scale], [6, 2]);
  const lora = { ...source.lora, rank_pattern: { q_proj: 2 } };
  const error = await assertRejects(() => openMerged({ ...source, lora }), LoraFleetError, "the job's is 2");
  assertEquals(error.code, "invalid_model");
});

Deno.test("a model that sees images keeps its names, and its vision part bit by bit", async () => {
  const source = sourceOf("gemma3_vision", "nf4");
  const before = openSafetensors(`${source.modelFolder}/model.safetensors`);
  await mergeInto(source, "bfloat16", undefined, (folder) => {
    const after = openSafetensors(`${folder}/model.safetensors`);
    assertEquals([...after.tensors.keys()].sort(), [...before.tensors.keys()].sort());
    const vision = [...before.tensors.keys()].filter((name) => !name.startsWith("language_model."));
    assertEquals(vision.length > 20, true);
    for (const name of vision) assertEquals(after.read(name), before.read(name), name);
    const trained = "language_model.model.layers.0.self_attn.q_proj.weight";
    assertEquals(after.read(trained).every((byte, i) => byte === before.read(trained)[i]), false);
  });
});
