import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { openSafetensors, type SafetensorsFile } from "../../shared/checkpoint/safetensors.ts";
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { LanguageModel } from "./language_model.ts";
import { goldenPath, loadLadderCase, unflattenTensors } from "../../tests/golden/golden.ts";
import { gradientOf, loadGoldenModel } from "../../tests/golden/golden_model.ts";
import {
  logitTolerance,
  lossTolerance,
  relativeGradientTolerance,
} from "../../tests/golden/golden_tolerance.ts";

const golden = loadLadderCase("gqa_tied");
const { batch, labelCount } = golden.batches[0]!;
const keys = { seed: 7, microBatchNumber: 3 };
const noisy = { regularisation: { noiseAlpha: 5, labelSmoothing: 0 } };

Deno.test("noise on embeddings depends on nothing but the seed and the micro-batch's number", async () => {
  const model = await loadGoldenModel(golden, noisy);
  const first = await gradientOf(model, batch, keys);
  assertNotEquals((await gradientOf(model, batch, { ...keys, seed: 8 })).lossSum, first.lossSum);
  assertNotEquals((await gradientOf(model, batch, { ...keys, microBatchNumber: 4 })).lossSum, first.lossSum);
  assertEquals(await gradientOf(model, batch, keys), first);
  const keeping = await loadGoldenModel(golden, { ...noisy, keptLayers: "all" });
  assertEquals(await gradientOf(keeping, batch, keys), first);
});

Deno.test("evaluation has neither noise nor smoothed labels", async () => {
  const changed = await loadGoldenModel(golden, { regularisation: { noiseAlpha: 5, labelSmoothing: 0.2 } });
  const plain = await loadGoldenModel(golden);
  assertEquals(await changed.evaluate(batch), await plain.evaluate(batch));
});

Deno.test("loss and gradients under smoothed labels are those of transformers' LabelSmoother with PEFT", async () => {
  const file = openSafetensors(goldenPath("losses/label_smoothing.safetensors"));
  const factor = file.readFloat32("factor")[0]!;
  const model = await loadGoldenModel(golden, { regularisation: { noiseAlpha: 0, labelSmoothing: factor } });
  await assertGolden(model, batch, file, 1);
});

Deno.test("loss and gradients of weighted rows are torch's, whatever the micro-batch before had; evaluation has no weights", async () => {
  const file = openSafetensors(goldenPath("losses/row_weights.safetensors"));
  const model = await loadGoldenModel(golden);
  const plain = await gradientOf(model, batch);
  const weights = file.readFloat32("weights");
  const weighted = { ...batch, weights };
  await assertGolden(model, weighted, file, Math.max(...weights));
  assertEquals(await gradientOf(model, batch), plain);
  assertEquals(await gradientOf(model, { ...batch, weights: weights.map(() => 1) }), plain);
  assertEquals(await model.evaluate(weighted), await model.evaluate(batch));
});

Deno.test("loss and gradients are those of an f64 reference under weights that change within a document", async () => {
  const file = openSafetensors(goldenPath("losses/message_weights.safetensors"));
  const weights = file.readFloat32("weights");
  await assertGolden(await loadGoldenModel(golden), { ...batch, weights }, file, Math.max(...weights));
});

async function assertGolden(
  model: LanguageModel,
  batch: MicroBatch,
  file: SafetensorsFile,
  largestWeight: number,
): Promise<void> {
  const { lossSum, gradient } = await gradientOf(model, batch);
  const loss = file.readFloat32("loss")[0]!;
  const { logits: expectedLogits } = golden.batches[0]!;
  const logits = logitTolerance(
    model.spec,
    batch.tokens.length,
    expectedLogits,
    golden.f32Error.get("logits0")!,
  );
  const allowed = largestWeight * lossTolerance(logits, loss, labelCount);
  assert(Math.abs(lossSum - loss) <= allowed, `${lossSum} is not ${loss} ± ${allowed}`);
  const goldens = golden.f32Error.get("gradient0")!;
  for (const [name, found] of unflattenTensors(model.lora.layout, gradient)) {
    const expected = file.readFloat32(name);
    const relative = relativeGradientTolerance(model.spec, batch.tokens.length, found.length, goldens);
    const tolerance = relative * expected.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    found.forEach((value, i) => {
      assert(
        Math.abs(value - expected[i]!) <= tolerance,
        `${name}[${i}] is ${value}, the golden ${expected[i]}`,
      );
    });
  }
}
