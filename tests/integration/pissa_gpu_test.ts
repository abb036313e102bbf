/** A PiSSA result as people use it: merged into what was trained, merged into the original weights, and evaluated. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { addDelta, type LoraDelta } from "../../shared/checkpoint/merge/adapter_deltas.ts";
import { type MergeBase, openMerged } from "../../shared/checkpoint/merge/merged_model.ts";
import { residualCheckpoint } from "../../shared/checkpoint/merge/residual.ts";
import { dequantizeNf4 } from "../../shared/checkpoint/nf4/nf4.ts";
import { adapterModules } from "../../shared/job/adapter_modules.ts";
import { loraSchema } from "../../shared/job/job_spec_schema.ts";
import { layoutAdapter } from "../../shared/model/gradient_layout.ts";
import { modelModules } from "../../shared/model/model_tensors.ts";
import { encodeMicroBatch } from "../../shared/protocol/micro_batch_codec.ts";
import { openFirstGpu } from "../../worker/device/first_gpu.ts";
import { openPissaBase } from "../../worker/engine/pissa/pissa_base.ts";
import { pissaResult, tensorsOf } from "../../worker/engine/pissa/pissa_result.ts";
import { trainedForm } from "../../worker/evaluate/pissa_form.ts";
import { measureInThread } from "../../worker/evaluate/measure_client.ts";
import { loadForEvaluation, withoutAdapter } from "../../worker/evaluate/score.ts";
import { readAdapter, writeAdapter } from "../../worker/files/adapter_file.ts";
import { loadLadderCase } from "../golden/golden.ts";
import { allLogits } from "../golden/golden_model.ts";

const golden = loadLadderCase("gqa_tied");
const { modelFolder } = golden;
const lora = loraSchema.parse({
  ...golden.lora,
  use_rslora: true,
  lora_alpha: 3,
  init_lora_weights: "pissa_niter_2",
});
const checkpoint = await openCheckpoint(modelFolder);
const modules = adapterModules(lora, modelModules(checkpoint.spec));
const layout = layoutAdapter(modules);
const start = await openPissaBase(checkpoint, modelFolder, lora).start();
const trained = start.map((value, i) => value + 0.02 * Math.sin(i));

/** What the layer's tensors are in a flat adapter. */
function deltaOf(flat: Float32Array, at: number): LoraDelta {
  const [a, b] = [2 * at, 2 * at + 1].map((index) => {
    const { offset, shape } = layout.tensors[index]!;
    return flat.slice(offset, offset + shape[0] * shape[1]);
  });
  return { ...modules[at]!, a: a!, b: b! };
}

async function withResult(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await writeAdapter(folder, { ...pissaResult(layout, lora, trained, start), baseModelName: "base" });
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function mergedLayer(folder: string, base: MergeBase, name: string): Promise<Float32Array> {
  const adapterPath = join(folder, "adapter_model.safetensors");
  const { tensors } = await openMerged({ modelFolder, adapterPath, lora, doubleQuantization: true, base });
  const pieces: number[] = [];
  const tensor = tensors.find((found) => found.name === `${name}.weight`)!;
  for await (const piece of tensor.pieces()) pieces.push(...piece);
  return Float32Array.from(pieces);
}

Deno.test("merged into nf4 it is the residual in NF4 and the trained adapter; into original, the base and the difference", () =>
  withResult(async (folder) => {
    for (const at of [0, 5, modules.length - 1]) {
      const { name, outFeatures, inFeatures } = modules[at]!;
      const residuals = residualCheckpoint(checkpoint, () => deltaOf(start, at));
      const nf4 = dequantizeNf4(
        await residuals.readLinear(name, outFeatures, inFeatures, { doubleQuantization: true }),
      );
      addDelta(nf4, 0, deltaOf(trained, at));
      assertEquals(await mergedLayer(folder, "nf4", name), nf4);
      const expected = await checkpoint.readTensor(`${name}.weight`, [outFeatures, inFeatures]);
      const { scale } = modules[at]!;
      const [from, to] = [deltaOf(start, at), deltaOf(trained, at)];
      const difference = (i: number) => {
        const [row, column] = [Math.floor(i / inFeatures), i % inFeatures];
        const product = ({ a, b, rank }: LoraDelta) =>
          Array.from({ length: rank }, (_, k) => b[row * rank + k]! * a[k * inFeatures + column]!)
            .reduce((sum, value) => sum + value, 0);
        return scale * (product(to) - product(from));
      };
      const original = await mergedLayer(folder, "original", name);
      original.forEach((value, i) => assert(Math.abs(value - expected[i]! - difference(i)) < 2e-6));
    }
  }));

Deno.test("an evaluation has the bits of the trained model, and beside it the base model again", () =>
  withResult(async (folder) => {
    const adapter = await readAdapter(folder);
    const form = trainedForm(checkpoint, adapter, false);
    assertEquals([form.adapter?.lora.r, form.adapter?.lora.lora_alpha, form.start?.lora.r], [4, 3, 4]);
    assertEquals(trainedForm(checkpoint, adapter, true), { checkpoint, adapter, start: null });
    const batch = golden.batches[0]!.batch;
    const rows = {
      examples: [{ tokens: batch.tokens, completionMask: new Uint8Array(batch.tokens.length).fill(1) }],
      ...{ questions: [], stopTokens: new Set<number>(), warnings: [] },
    };
    const options = { maxNewTokens: 0, doubleQuantization: true, fullPrecision: false };
    const gpu = await openFirstGpu({ allowCpu: true, ignoreGpu: false });
    try {
      const model = await loadForEvaluation(gpu, form.checkpoint, form.adapter, rows, options);
      const trainedOn = openPissaBase(checkpoint, modelFolder, lora).checkpoint;
      const own = { tensors: tensorsOf(layout, trained), lora, baseModelName: "base" };
      const inTraining = await loadForEvaluation(gpu, trainedOn, own, rows, options);
      assertEquals(await allLogits(model, batch), await allLogits(inTraining, batch));
      withoutAdapter(model, form.start);
      const atStart = await allLogits(model, batch);
      const plain = await loadForEvaluation(gpu, checkpoint, null, rows, { ...options, fullPrecision: true });
      const base = await allLogits(plain, batch);
      withoutAdapter(model);
      const residual = await allLogits(model, batch);
      const distance = (other: Float32Array) =>
        Math.sqrt(base.reduce((sum, value, i) => sum + (value - other[i]!) ** 2, 0));
      assert(distance(atStart) < 0.8 * distance(residual), `${distance(atStart)}, ${distance(residual)}`);
    } finally {
      gpu.close();
    }
  }));

Deno.test("a worker measures a PiSSA job's merge beside what was trained, not beside the plain NF4 base", () =>
  withResult(async (folder) => {
    const { batch } = golden.batches[0]!;
    const rowsPath = join(folder, "rows.bin");
    await Deno.writeFile(rowsPath, encodeMicroBatch(batch));
    const input = {
      modelFolder,
      lora,
      doubleQuantization: true,
      adapterFolder: folder,
      rowsPath,
      allowCpu: true,
    };
    const measured = (base: MergeBase) =>
      measureInThread(
        { ...input, base, dtype: "float32", maxMilliseconds: 60_000 },
        new AbortController().signal,
      );
    const [close, far] = [await measured("nf4"), await measured("original")];
    assert(close.logit_max_abs < 1e-3, `${close.logit_max_abs}`);
    assert(far.kl_mean > 100 * close.kl_mean, `${far.kl_mean}, ${close.kl_mean}`);
  }));
