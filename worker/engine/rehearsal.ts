/**
 * Which kernels a model will need, before it is loaded: the real code loads a model without values and records a micro-batch of
 * the largest size, while the GPU allocates, writes and computes nothing. They are compiled while the base model is read:
 * WebGPU compiles in the calling thread, and that thread waits for disk and for the threads that quantise.
 */
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { Nf4Weights } from "../../shared/checkpoint/nf4/nf4.ts";
import type { Gpu } from "../device/gpu.ts";
import { LanguageModel, type ModelOptions } from "../model/language_model.ts";
import type { LoadableCheckpoint } from "../model/weights.ts";

/**
 * Begins to compile the kernels of training; ends before the first is compiled.
 * @throws LoraFleetError as the load of the model would, from its plan alone
 */
export async function compileAhead(
  gpu: Gpu,
  checkpoint: LoadableCheckpoint,
  options: ModelOptions,
  signal: AbortSignal,
): Promise<void> {
  const kernels = await gpu.rehearse(async () => {
    const model = await LanguageModel.load(gpu, silentCheckpoint(checkpoint), options);
    const { maxTokens, maxPositions, flat, lora: { layout } } = model;
    const tokens = Math.min(maxTokens, options.maxHeadRows ?? maxTokens);
    model.encodeGradient(fullMicroBatch(tokens, maxPositions), 0, 0);
    flat.encodeMaxAbs();
    flat.encodeAccumulate(new Int8Array(layout.tensors.length));
  });
  void gpu.compileAhead(kernels, signal);
}

/** A checkpoint of the same tensors without their values. */
function silentCheckpoint(checkpoint: LoadableCheckpoint): LoadableCheckpoint {
  return {
    spec: checkpoint.spec,
    storedDoubleQuantization: checkpoint.storedDoubleQuantization,
    dtypeOf: (name) => checkpoint.dtypeOf(name),
    readTensor: () => Promise.resolve(new Float32Array(0)),
    readPieces: async function* () {},
    readLinear: (_module, rows, columns, { doubleQuantization }) =>
      Promise.resolve(emptyWeights(rows, columns, doubleQuantization)),
  };
}

function emptyWeights(rows: number, columns: number, doubleQuantization: boolean): Nf4Weights {
  const none = new Float32Array(0);
  const scales = doubleQuantization
    ? { absmax: null, absmaxCodes: new Uint8Array(0), nestedAbsmax: none }
    : { absmax: none, absmaxCodes: null, nestedAbsmax: null };
  return { rows, columns, codes: new Uint8Array(0), ...scales, nestedOffset: 0 };
}

/** Of `tokens` tokens, all with labels. */
function fullMicroBatch(tokens: number, maxPositions: number): MicroBatch {
  const positions = Uint32Array.from({ length: tokens }, (_, t) => t % maxPositions);
  return {
    tokens: new Uint32Array(tokens),
    labels: new Int32Array(tokens),
    positions,
    segmentStarts: positions.map((position, t) => t - position),
  };
}
