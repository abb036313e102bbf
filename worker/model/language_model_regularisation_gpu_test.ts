import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { openSafetensors } from "../../shared/checkpoint/safetensors.ts";
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
  const keeping = await loadGoldenModel(golden, { ...noisy, gradientCheckpointing: false });
  assertEquals(await gradientOf(keeping, batch, keys), first);
});

Deno.test("evaluation has neither noise nor smoothed labels", async () => {
  const changed = await loadGoldenModel(golden, { regularisation: { noiseAlpha: 5, labelSmoothing: 0.2 } });
  const plain = await loadGoldenModel(golden);
  assertEquals(await changed.evaluate(batch), await plain.evaluate(batch));
});

Deno.test("loss and gradients under smoothed labels are those of transformers' LabelSmoother with PEFT", async () => {
  const file = openSafetensors(goldenPath("label_smoothing.safetensors"));
  const [factor, loss] = [file.readFloat32("factor")[0]!, file.readFloat32("loss")[0]!];
  const model = await loadGoldenModel(golden, { regularisation: { noiseAlpha: 0, labelSmoothing: factor } });
  const { lossSum, gradient } = await gradientOf(model, batch);
  const logits = logitTolerance(
    model.spec,
    batch.tokens.length,
    golden.batches[0]!.logits,
    golden.f32Error.get("logits0")!,
  );
  const allowed = lossTolerance(logits, loss, labelCount);
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
});
