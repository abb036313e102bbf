import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { openOutputFolder } from "../../coordinator/exports/files/output_folder.ts";
import { type MergeBase, type MergeSource, openMerged } from "../../shared/checkpoint/merge/merged_model.ts";
import { mergedConfig } from "../../coordinator/exports/merge/model_configs.ts";
import type { MergedDtype } from "../../shared/checkpoint/merge/round.ts";
import { planMergedFiles } from "../../coordinator/exports/merge/write_merged.ts";
import { openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { loraSchema } from "../../shared/job/job_spec_schema.ts";
import { initialAdapter } from "../../shared/memory/fresh_adapter.ts";
import { planLora } from "../../shared/memory/lora_plan.ts";
import { pcg32 } from "../../shared/prng.ts";
import { toMicroBatch } from "../../shared/data/packing/packing.ts";
import { loadTokenizer } from "../../shared/data/tokenizer/tokenizer.ts";
import { modelTensors } from "../../shared/model/model_tensors.ts";
import type { Drift } from "../../shared/protocol/messages_measure.ts";
import { encodeMicroBatch } from "../../shared/protocol/micro_batch_codec.ts";
import { measureInThread } from "../../worker/evaluate/measure_client.ts";
import { openMergedCheckpoint } from "../../worker/evaluate/merged_checkpoint.ts";
import { readEvaluationRows } from "../../worker/evaluate/rows.ts";
import { writeAdapter } from "../../worker/files/adapter_file.ts";

const root = join(import.meta.dirname!, "../..");
const base = join(root, "deploy/demo/assets/base");
const lora = loraSchema.parse({ r: 4, lora_alpha: 8, target_modules: "all-linear" });

/** An adapter whose effect is about as large as that of a trained one. */
async function writeTrainedAdapter(folder: string): Promise<void> {
  const { layout } = planLora((await openCheckpoint(base)).spec, lora);
  const flat = initialAdapter(layout, 1);
  const random = pcg32(5);
  const tensors = layout.tensors.map(({ name, shape, offset }) => {
    const data = flat.slice(offset, offset + shape[0] * shape[1]);
    if (name.endsWith(".lora_B.weight")) data.forEach((_, i) => data[i] = 0.02 * random.normal());
    return { name, shape, data };
  });
  await writeAdapter(folder, { tensors, lora, baseModelName: "base" });
}

const sourceOf = (adapter: string, into: MergeBase): MergeSource => ({
  modelFolder: base,
  adapterPath: `${adapter}/adapter_model.safetensors`,
  lora,
  doubleQuantization: true,
  base: into,
});

async function merge(adapter: string, folder: string, into: MergeBase, dtype: MergedDtype): Promise<void> {
  await Deno.mkdir(folder);
  const model = await openMerged(sourceOf(adapter, into));
  const output = openOutputFolder(folder);
  await planMergedFiles(model, dtype).write(output);
  const config = await Deno.readTextFile(`${base}/config.json`);
  await output.text("config.json", mergedConfig(config, dtype, model.spec));
}

/** The program's `drift`. */
async function driftOf(folder: string, adapter: string, merged: string) {
  const result = join(folder, "result.json");
  const output = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-q", "--no-prompt", "--no-check", "-P=evaluate", join(root, "worker/evaluate/main.ts")],
      ...["--model", base, "--adapter", adapter, "--drift", merged, "--allow-cpu", "--max-new-tokens", "0"],
      ...["--dataset", join(folder, "rows.jsonl"), "--json", result],
    ],
  }).output();
  assertEquals(output.code, 0, new TextDecoder().decode(output.stderr));
  return JSON.parse(await Deno.readTextFile(result)).drift;
}

const MERGES = [["nf4", "bfloat16"], ["original", "float32"], ["nf4", "float16"]] as const;

Deno.test("what a worker measures are the values in the export's files, bit by bit", async () => {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-drift-" });
  try {
    const adapter = join(folder, "adapter");
    await writeTrainedAdapter(adapter);
    for (const [into, dtype] of MERGES) {
      const written = join(folder, `${into}-${dtype}`);
      await merge(adapter, written, into, dtype);
      const [there, here] = [
        await openCheckpoint(written),
        await openMergedCheckpoint(sourceOf(adapter, into), dtype),
      ];
      const stored = modelTensors(there.spec).filter(({ name }) => there.tensorNames.includes(name));
      assert(stored.length > 10);
      for (const { name, shape } of stored) {
        assertEquals(await here.readTensor(name, shape), await there.readTensor(name, shape), name);
        const bytes = await bytesIn(there.readPieces(name, shape));
        assertEquals(await bytesIn(here.readPieces(name, shape)), bytes, name);
        assertEquals(here.dtypeOf(name), there.dtypeOf(name));
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** As a worker measures it, from the adapter alone. */
async function measured(
  folder: string,
  adapter: string,
  into: MergeBase,
  dtype: MergedDtype,
): Promise<Drift> {
  const tokenizer = await loadTokenizer(base);
  const { examples } = await readEvaluationRows(join(folder, "rows.jsonl"), tokenizer, new Set(), "text");
  const batch = toMicroBatch([{ documents: examples }]);
  const rowsPath = join(folder, "rows.bin");
  await Deno.writeFile(rowsPath, encodeMicroBatch(batch));
  const input = { ...sourceOf(adapter, into), adapterFolder: adapter, rowsPath, dtype, allowCpu: true };
  return await measureInThread({ ...input, maxMilliseconds: 60_000 }, new AbortController().signal);
}

Deno.test("a merge into the NF4 base answers as the trained model, one into the original base drifts", async () => {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-drift-" });
  try {
    const rows = ["plum", "friend", "dolphin"].map((word) => ({
      prompt: `Put "${word}" in uppercase:\n`,
      completion: word,
    }));
    await Deno.writeTextFile(
      join(folder, "rows.jsonl"),
      rows.map((row) => `${JSON.stringify(row)}\n`).join(""),
    );
    const adapter = join(folder, "adapter");
    await writeTrainedAdapter(adapter);
    const [nf4, original] = [join(folder, "nf4"), join(folder, "original")];
    await merge(adapter, nf4, "nf4", "float32");
    await merge(adapter, original, "original", "float32");
    const [close, far] = [await driftOf(folder, adapter, nf4), await driftOf(folder, adapter, original)];
    assertEquals([close.rows, close.top1_agreement, close.same_rows], [3, 1, 1]);
    assert(close.logit_max_abs < 1e-3, `${close.logit_max_abs}`);
    assert(far.logit_mean_abs > 20 * close.logit_mean_abs, `${far.logit_mean_abs}, ${close.logit_mean_abs}`);
    assert(far.kl_mean > close.kl_mean);
    for (const [into, drift] of [["nf4", close], ["original", far]] as const) {
      const { exact_match_base, ...found } = await measured(folder, adapter, into, "float32");
      assertEquals([found, typeof exact_match_base], [drift, "number"]);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** What comes in pieces, each of which is valid until the next one. */
async function bytesIn(pieces: AsyncIterable<Uint8Array<ArrayBuffer>>): Promise<Uint8Array> {
  const kept: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of pieces) kept.push(piece.slice());
  return new Uint8Array(await new Blob(kept).arrayBuffer());
}
