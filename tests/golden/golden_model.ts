/** The models of the golden ladder on the GPU, with the goldens' initial adapter. */
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { Gpu } from "../../worker/device/gpu.ts";
import { testGpu } from "../../worker/device/testing/test_gpu.ts";
import { openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { LanguageModel, type ModelOptions } from "../../worker/model/language_model.ts";
import { flattenTensors, type LadderCase } from "./golden.ts";

/** Tokens for which golden models are planned: more than any of their batches holds. */
export const GOLDEN_MAX_TOKENS = 40;

/** Loads a case's base model; `changes` overrule the options that its goldens were made with. */
export async function loadGoldenModel(
  golden: LadderCase,
  changes: Partial<ModelOptions> & { readonly modelFolder?: string; readonly gpu?: Gpu } = {},
): Promise<LanguageModel> {
  const { modelFolder = golden.modelFolder, gpu = await testGpu(), ...options } = changes;
  const model = await LanguageModel.load(gpu, await openCheckpoint(modelFolder), {
    lora: golden.lora,
    maxTokens: GOLDEN_MAX_TOKENS,
    maxPositions: GOLDEN_MAX_TOKENS,
    doubleQuantization: golden.doubleQuantization,
    keptLayers: 1,
    training: true,
    memoryBudgetBytes: null,
    ...options,
  });
  if (options.lora !== null) {
    model.flat.write(flattenTensors(model.lora.layout, golden.initialAdapter));
  }
  return model;
}

/** Loss and flat gradient of a micro-batch. */
export async function gradientOf(
  model: LanguageModel,
  batch: MicroBatch,
  keys: { readonly seed: number; readonly microBatchNumber: number } = { seed: 1, microBatchNumber: 0 },
): Promise<{ lossSum: number; gradient: Float32Array }> {
  model.encodeGradient(batch, keys.seed, keys.microBatchNumber);
  const [lossSum] = new Float32Array(await model.gpu.read(model.workspace.loss));
  return { lossSum: lossSum!, gradient: await model.flat.readGradient() };
}

/** Logits [tokens, vocabulary] at every token of a micro-batch. */
export function allLogits(model: LanguageModel, batch: MicroBatch): Promise<Float32Array> {
  return model.logitsAt(batch, Uint32Array.from(batch.tokens, (_, index) => index));
}

/** One document of a micro-batch, which begins at token `start`, as a micro-batch of its own. */
export function documentAt(
  { tokens, labels, positions, segmentStarts }: MicroBatch,
  start: number,
): MicroBatch {
  const end = segmentStarts.lastIndexOf(start) + 1;
  return {
    tokens: tokens.slice(start, end),
    labels: labels.slice(start, end),
    positions: positions.slice(start, end),
    segmentStarts: new Uint32Array(end - start),
  };
}
