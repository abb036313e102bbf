import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { flattenTensors, loadLadderCase } from "../../../tests/golden/golden.ts";
import { gradientOf, loadGoldenModel } from "../../../tests/golden/golden_model.ts";
import { adapterParts } from "../../../shared/memory/adapter_parts.ts";
import { testGpu } from "../../device/testing/test_gpu.ts";
import { randomNormal, testPrng } from "../../kernels/testing/random_inputs.ts";
import { OptimizerState } from "../../optimizer/optimizer_state.ts";

const golden = loadLadderCase("gqa_tied");
/** Parts of one, two or three tensors. */
const PART_BYTES = 4 * 1024;

Deno.test("an adapter in parts has the bits of one in a single buffer: loss, gradient, maxima and sums", async () => {
  const whole = await loadGoldenModel(golden, {});
  const cut = await loadGoldenModel(golden, { adapterPartBytes: PART_BYTES });
  const { layout } = whole.lora;
  assertEquals(whole.flat.partCount, 1);
  assertEquals(cut.flat.partCount, adapterParts(layout, PART_BYTES).length);
  assert(cut.flat.partCount > 3, `${cut.flat.partCount} parts`);
  const exponents = Int8Array.from(layout.tensors, (_, index) => -20 - index % 5);
  const resultsOf = async (model: typeof whole) => {
    const gradients = [];
    for (const { batch } of golden.batches) {
      gradients.push(await gradientOf(model, batch));
      model.flat.encodeMaxAbs();
      model.flat.encodeAccumulate(exponents);
    }
    const maxBits = new Uint32Array(await model.gpu.read(model.flat.maxBits));
    return { gradients, maxBits, sums: await model.flat.readSums() };
  };
  const expected = await resultsOf(whole);
  assertEquals(await resultsOf(cut), expected);
  assert(expected.sums.some((sum) => sum !== 0));
  assertEquals(expected.maxBits.length, layout.tensors.length);
  cut.flat.encodeClearSums();
  assertEquals(await cut.flat.readSums(), new Int32Array(layout.elementCount));
});

Deno.test("three steps of AdamW end with the same adapter, in parts and in one buffer", async () => {
  const adapterAfter = async (changes: Parameters<typeof loadGoldenModel>[1]) => {
    const model = await loadGoldenModel(golden, changes);
    const { layout } = model.lora;
    const state = new OptimizerState(layout);
    await state.begin(flattenTensors(layout, golden.initialAdapter));
    const exponents = new Int8Array(layout.tensors.length).fill(-24);
    const { batch } = golden.batches[0]!;
    for (let updateNumber = 1; updateNumber <= 3; updateNumber++) {
      model.flat.write(state.adapter);
      model.encodeGradient(batch, 7, updateNumber);
      model.flat.encodeAccumulate(exponents);
      const sums = await model.flat.readSums();
      model.flat.encodeClearSums();
      const rates = { learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1 };
      await state.update({ sums, exponents, labelCount: 20, updateNumber, ...rates, maxGradientNorm: 1 });
      state.commit();
    }
    const adapter = state.adapter.slice();
    assertNotEquals(adapter, flattenTensors(layout, golden.initialAdapter));
    state.close();
    return adapter;
  };
  const whole = await adapterAfter({});
  assertEquals(await adapterAfter({ adapterPartBytes: PART_BYTES }), whole);
});

Deno.test("an adapter that is written to parts is read by its tensors", async () => {
  const model = await loadGoldenModel(golden, { adapterPartBytes: PART_BYTES });
  const { tensors, elementCount } = model.lora.layout;
  const values = randomNormal(testPrng("parts"), elementCount);
  model.flat.write(values);
  for (const [index, { shape: [rows, columns], offset }] of tensors.entries()) {
    const tensor = new Float32Array(await model.gpu.read(model.flat.tensorAt("adapter", index)));
    assertEquals(tensor, values.subarray(offset, offset + rows * columns));
  }
  assertThrows(() => model.flat.write(values.subarray(64)), RangeError, "the adapter has");
});

Deno.test("the memory plan counts every part to the byte", async () => {
  for (const changes of [{}, { adapterPartBytes: PART_BYTES }, { adapterPartBytes: 4 }]) {
    const before = (await testGpu()).allocatedBytes;
    const { gpu, plannedBytes } = await loadGoldenModel(golden, changes);
    assertEquals(gpu.allocatedBytes - before, plannedBytes);
  }
});
