import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { flattenTensors, type LadderCaseName, loadLadderCase } from "../../tests/golden/golden.ts";
import { gradientOf, loadGoldenModel } from "../../tests/golden/golden_model.ts";
import { loraSchema } from "../../shared/job/job_spec_schema.ts";
import { documentAt } from "../../tests/golden/golden_model.ts";

const golden = loadLadderCase("gqa_tied");
const lora = loraSchema.parse({ ...golden.lora, lora_dropout: 0.3 });
const { batch } = golden.batches[0]!;
const keys = { seed: 7, microBatchNumber: 3 };

Deno.test("dropout depends on nothing but the seed and the micro-batch's number", async () => {
  const model = await loadGoldenModel(golden, { lora });
  const first = await gradientOf(model, batch, keys);
  const otherSeed = await gradientOf(model, batch, { ...keys, seed: 8 });
  const otherNumber = await gradientOf(model, batch, { ...keys, microBatchNumber: 4 });
  assertNotEquals(otherSeed.lossSum, first.lossSum);
  assertNotEquals(otherNumber.lossSum, first.lossSum);
  assertEquals(await gradientOf(model, batch, keys), first);
  const keeping = await loadGoldenModel(golden, { lora, keptLayers: "all" });
  assertEquals(await gradientOf(keeping, batch, keys), first);
});

Deno.test("evaluation applies no dropout", async () => {
  const with_ = await loadGoldenModel(golden, { lora });
  const without = await loadGoldenModel(golden);
  assertEquals(await with_.evaluate(batch), await without.evaluate(batch));
});

/**
 * The gradient along itself is its norm: for each linear layer, the loss at θ ± h·g/|g| must differ by 2h·|g|. The loss of about
 * L is rounded to about 2^−24·L·(1 + √targets), which the quotient magnifies by 1/h; the third derivative adds h²·|f‴|/6, which
 * Richardson's extrapolation from h and 2h takes to h⁴: with h = 0.02 below the rounding.
 */
for (const [name, start] of [["gqa_tied", 10], ["qwen3_tied", 12]] as const) {
  Deno.test(`${name}: the backward pass with dropout agrees with differences of the loss, layer by layer`, () =>
    checkDifferences(name, start));
}

async function checkDifferences(name: LadderCaseName, start: number): Promise<void> {
  const golden = loadLadderCase(name);
  const lora = loraSchema.parse({ ...golden.lora, lora_dropout: 0.3 });
  const model = await loadGoldenModel(golden, { lora });
  const adapter = flattenTensors(model.lora.layout, golden.initialAdapter);
  const document = documentAt(golden.batches[0]!.batch, start);
  const { gradient, lossSum } = await gradientOf(model, document, keys);
  const step = 0.02;
  const rounding = 2 ** -24 * lossSum * (1 + Math.sqrt(document.tokens.length));
  for (const [name, { a, b }] of model.lora.modules) {
    const direction = new Float64Array(gradient.length);
    for (const tensor of [a, b]) {
      const { offset, shape } = model.lora.layout.tensors[tensor]!;
      const end = offset + shape[0] * shape[1];
      for (let i = offset; i < end; i++) direction[i] = gradient[i]!;
    }
    const norm = Math.hypot(...direction);
    assert(norm > 0, name);
    const lossAt = async (distance: number) => {
      model.flat.write(adapter.map((value, i) => value + distance * direction[i]! / norm));
      return (await gradientOf(model, document, keys)).lossSum;
    };
    const slope = async (h: number) => (await lossAt(h) - await lossAt(-h)) / (2 * h);
    const found = (4 * await slope(step) - await slope(2 * step)) / 3;
    const tolerance = 4 * rounding / step + 1e-3 * norm;
    assert(
      Math.abs(found - norm) <= tolerance,
      `${name}: ${found}, the gradient says ${norm} ± ${tolerance}`,
    );
  }
}
