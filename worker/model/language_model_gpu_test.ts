import { assert, assertEquals } from "@std/assert";
import { LADDER_CASES, loadLadderCase, unflattenTensors } from "../../tests/golden/golden.ts";
import { allLogits, gradientOf, loadGoldenModel } from "../../tests/golden/golden_model.ts";
import {
  logitTolerance,
  lossTolerance,
  relativeGradientTolerance,
} from "../../tests/golden/golden_tolerance.ts";

for (const name of LADDER_CASES) {
  const golden = loadLadderCase(name);

  Deno.test(`${name}: logits and losses equal those of transformers with bitsandbytes and PEFT`, async () => {
    const model = await loadGoldenModel(golden, { training: false });
    for (const [index, { batch, logits, lossSum, labelCount }] of golden.batches.entries()) {
      const tolerance = logitTolerance(
        model.spec,
        batch.tokens.length,
        logits,
        golden.f32Error.get(`logits${index}`)!,
      );
      assertWithin(`batch ${index}, logit`, await allLogits(model, batch), logits, tolerance);
      const allowed = lossTolerance(tolerance, lossSum, labelCount);
      assertWithin(`batch ${index}, loss`, [(await model.evaluate(batch)).lossSum], [lossSum], allowed);
    }
  });

  Deno.test(`${name}: every LoRA gradient equals PEFT's, and checkpointing changes no bit`, async () => {
    const model = await loadGoldenModel(golden, { keptLayers: 1 });
    const keeping = await loadGoldenModel(golden, { keptLayers: "all" });
    for (const [index, { batch, gradients }] of golden.batches.entries()) {
      const { lossSum, gradient } = await gradientOf(model, batch);
      assertEquals(await gradientOf(keeping, batch), { lossSum, gradient });
      assertEquals(lossSum, (await model.evaluate(batch)).lossSum);
      const goldens = golden.f32Error.get(`gradient${index}`)!;
      for (const [tensor, found] of unflattenTensors(model.lora.layout, gradient)) {
        const expected = gradients.get(tensor)!;
        const relative = relativeGradientTolerance(model.spec, batch.tokens.length, found.length, goldens);
        const scale = largest(expected) || largestOfLayer(gradients, tensor);
        assertWithin(`batch ${index}, gradient of ${tensor}`, found, expected, relative * scale);
      }
      assertEquals(paddingOf(model.lora.layout, gradient).filter((value) => value !== 0), []);
    }
  });
}

Deno.test("a base model stored by bitsandbytes in NF4 gives the same bits as one quantised here", async () => {
  const golden = loadLadderCase("gqa_tied");
  const { batch } = golden.batches[0]!;
  const modelFolder = golden.modelFolder.replace(/model$/, "model_nf4");
  const here = await loadGoldenModel(golden, { training: false });
  const stored = await loadGoldenModel(golden, { training: false, modelFolder });
  assertEquals(await allLogits(stored, batch), await allLogits(here, batch));
});

Deno.test("the base model alone equals the model with a zero adapter", async () => {
  const golden = loadLadderCase("qwen2_rslora");
  const { batch } = golden.batches[0]!;
  const alone = await loadGoldenModel(golden, { training: false, lora: null });
  const zero = await loadGoldenModel(golden, { training: false });
  zero.flat.write(new Float32Array(zero.lora.layout.elementCount));
  assertEquals(await allLogits(alone, batch), await allLogits(zero, batch));
});

function assertWithin(
  what: string,
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
): void {
  assertEquals(found.length, expected.length, what);
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(found[i]! - expected[i]!);
    assert(
      error <= tolerance,
      `${what} [${i}] is ${found[i]}, the golden is ${expected[i]} (error ${error}, allowed ${tolerance})`,
    );
  }
}

function largest(values: Float32Array): number {
  return values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
}

/**
 * The scale for a gradient that is mathematically zero, such as that of queries and keys in a document of one token: what remains
 * is the rounding of dP − rowsum(dO·O), whose terms are as large as the layer's other gradients.
 */
function largestOfLayer(gradients: ReadonlyMap<string, Float32Array>, tensor: string): number {
  const layer = /^.*?layers\.\d+\./.exec(tensor)![0];
  return Math.max(...[...gradients].filter(([name]) => name.startsWith(layer)).map(([, g]) => largest(g)));
}

/** The padding between the tensors of a flat gradient. */
function paddingOf(
  { tensors, elementCount }: Awaited<ReturnType<typeof loadGoldenModel>>["lora"]["layout"],
  flat: Float32Array,
): number[] {
  const ends = tensors.slice(1).map(({ offset }) => offset).concat(elementCount);
  return tensors.flatMap(({ shape, offset }, i) => [...flat.subarray(offset + shape[0] * shape[1], ends[i])]);
}
