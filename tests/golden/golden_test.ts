import { assert, assertEquals } from "@std/assert";
import { countLabels } from "../../shared/data/packing/micro_batch.ts";
import { openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { planLora } from "../../shared/memory/lora_plan.ts";
import { flattenTensors, LADDER_CASES, loadLadderCase, unflattenTensors, writeLogits } from "./golden.ts";
import { openSafetensors } from "../../shared/checkpoint/safetensors.ts";

for (const name of LADDER_CASES) {
  Deno.test(`golden ladder, ${name}: batches, logits and LoRA tensors have the sizes of the base model`, async () => {
    const golden = loadLadderCase(name);
    const { spec } = await openCheckpoint(golden.modelFolder);
    const { layout } = planLora(spec, golden.lora);
    for (const { batch, labelCount, lossSum, logits, hidden, gradients, finalLogits } of golden.batches) {
      const count = batch.tokens.length;
      assertEquals(countLabels(batch), labelCount);
      assert(lossSum > 0 && batch.tokens.every((token) => token < spec.vocabSize));
      assertEquals([logits.length, finalLogits.length], [count * spec.vocabSize, count * spec.vocabSize]);
      assertEquals(
        hidden.map(({ length }) => length),
        Array(spec.layerCount + 1).fill(count * spec.hiddenSize),
      );
      assertEquals(flattenTensors(layout, gradients).length, layout.elementCount);
      batch.positions.forEach((position, i) => assertEquals(batch.segmentStarts[i]! + position, i));
    }
    const adapter = flattenTensors(layout, golden.initialAdapter);
    assertEquals(
      unflattenTensors(layout, adapter),
      new Map(layout.tensors.map((
        { name },
      ) => [name, golden.initialAdapter.get(name)!])),
    );
    assert(golden.finalAdapter.size === golden.initialAdapter.size);
  });

  Deno.test(`golden ladder, ${name}: ten steps, a warm-up of two, decreasing losses`, () => {
    const { training, batches } = loadLadderCase(name);
    assertEquals([training.learningRates.length, training.losses.length, training.gradientNorms.length], [
      10,
      10,
      10,
    ]);
    assertEquals(training.learningRates.slice(0, 3), [0, 0.005, 0.01]);
    const total = batches.reduce((sum, { lossSum }) => sum + lossSum, 0);
    const labels = batches.reduce((sum, { labelCount }) => sum + labelCount, 0);
    assert(Math.abs(training.losses[0]! - total / labels) < 1e-6 * training.losses[0]!);
    assert(training.losses[9]! < 0.5 * training.losses[0]!);
  });
}

Deno.test("logits for check_adapter.py are written with their micro-batch", async () => {
  const { batches: [first] } = loadLadderCase("gqa_tied");
  const path = await Deno.makeTempFile({ suffix: ".safetensors" });
  try {
    await writeLogits(path, first!.batch, first!.logits);
    const file = openSafetensors(path);
    assertEquals(file.tensors.get("logits")!.shape, [24, 131]);
    assertEquals(file.readFloat32("logits"), first!.logits);
    assertEquals(Uint32Array.from(new Int32Array(file.read("tokens").buffer)), first!.batch.tokens);
  } finally {
    await Deno.remove(path);
  }
});
