import { assert, assertEquals } from "@std/assert";
import { LADDER_CASES, type LadderCase, loadLadderCase } from "../../tests/golden/golden.ts";
import { GOLDEN_MAX_TOKENS, gradientOf, loadGoldenModel } from "../../tests/golden/golden_model.ts";
import { systemClock } from "../../shared/clock.ts";
import { Gpu } from "../device/gpu.ts";
import { openDevice } from "../device/open_device.ts";
import type { ModelOptions } from "../model/language_model.ts";
import { openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { compileAhead } from "./rehearsal.ts";

/** A GPU that tells the labels of the kernels that it compiles. */
async function countingGpu() {
  const compiled: string[] = [];
  const gpu = await Gpu.open({ allowCpu: true }, async (options) => {
    const opened = await openDevice(options);
    const { device } = opened;
    const create = device.createComputePipeline.bind(device);
    device.createComputePipeline = (descriptor) => {
      compiled.push(descriptor.label!);
      return create(descriptor);
    };
    return opened;
  });
  return { gpu, compiled };
}

function optionsOf({ lora, doubleQuantization }: LadderCase): ModelOptions {
  return {
    ...{ lora, doubleQuantization, maxTokens: GOLDEN_MAX_TOKENS, maxPositions: GOLDEN_MAX_TOKENS },
    ...{ keptLayers: 1, training: true, memoryBudgetBytes: null },
  };
}

for (const name of LADDER_CASES.filter((name) => ["gqa_tied", "gemma2_caps"].includes(name))) {
  Deno.test(`${name}: a full micro-batch finds all of its kernels compiled, by a rehearsal that takes no memory`, async () => {
    const golden = loadLadderCase(name);
    const [lazy, ahead] = [await countingGpu(), await countingGpu()];
    const plain = await loadGoldenModel(golden, { gpu: lazy.gpu });
    const checkpoint = await openCheckpoint(golden.modelFolder);
    await compileAhead(ahead.gpu, checkpoint, optionsOf(golden), new AbortController().signal);
    assertEquals([ahead.gpu.allocatedBytes, ahead.compiled.length], [0, 0]);
    const model = await loadGoldenModel(golden, { gpu: ahead.gpu });
    assertEquals(ahead.gpu.allocatedBytes, lazy.gpu.allocatedBytes);
    for (let turn = 0; turn < 200; turn++) await systemClock.sleep(0);
    const before = ahead.compiled.length;
    assert(before > 10 && lazy.compiled.length === 0, `${before} kernels`);
    const { batch } = golden.batches[0]!;
    assertEquals(await gradientOf(model, batch), await gradientOf(plain, batch));
    // The goldens' micro-batches are smaller than the plan: what depends on their size may differ.
    const late = ahead.compiled.slice(before);
    assert(late.length <= 0.2 * lazy.compiled.length, `compiled later: ${late.join("; ")}`);
    assertEquals(new Set(ahead.compiled).size, ahead.compiled.length);
    ahead.gpu.close();
    lazy.gpu.close();
  });
}
