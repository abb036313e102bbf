/**
 * Logits of a model in f32 whose linear layers are on the GPU one decoder layer at a time: a GPU that holds the model in NF4 can
 * also compute with a merged one. Layer by layer all micro-batches pass through it; their residual streams wait in host memory.
 */
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import { modelTensors } from "../../shared/model/model_tensors.ts";
import { attendWithin } from "./attention_block.ts";
import { encodeEmbeddings } from "./residual_stream.ts";
import { encodeHeadInput, readLogits } from "./head.ts";
import type { LanguageModel } from "./language_model.ts";
import { encodeLayer } from "./layer.ts";
import { writeMicroBatch } from "./micro_batch_upload.ts";
import type { LoadableCheckpoint } from "./weights.ts";

/** A micro-batch, and the tokens whose logits are wanted. */
export interface WantedLogits {
  readonly batch: MicroBatch;
  readonly rows: Uint32Array;
}

/**
 * Logits [rows.length, vocabulary] of each micro-batch, in their order; the bits are those of `LanguageModel.logitsAt`.
 * @param model loaded from `checkpoint` with `fullPrecision: "by layer"`
 */
export async function* layerwiseLogits(
  model: LanguageModel,
  checkpoint: Pick<LoadableCheckpoint, "readTensor">,
  wanted: readonly WantedLogits[],
): AsyncGenerator<Float32Array> {
  const { gpu, weights, layers } = model;
  const streams: Float32Array[] = [];
  for (const { batch } of wanted) {
    writeMicroBatch(model, batch);
    encodeEmbeddings(model.contextFor(batch.tokens.length, null), weights, model.residual(0));
    streams.push(await readStream(model, 0, batch));
  }
  for (const index of layers.keys()) {
    await writeLayer(model, checkpoint, index);
    for (const [at, { batch }] of wanted.entries()) {
      writeMicroBatch(model, batch);
      gpu.write(model.residual(index), streams[at]!);
      const layer = model.layerAt(model.contextFor(batch.tokens.length, null), index);
      encodeLayer(layer, model.residual(index), model.residual(index + 1), attendWithin(layer));
      streams[at] = await readStream(model, index + 1, batch);
    }
  }
  const last = model.residual(layers.length);
  for (const [at, { batch, rows }] of wanted.entries()) {
    writeMicroBatch(model, batch);
    gpu.write(last, streams[at]!);
    gpu.write(model.workspace.headRows, rows);
    const context = model.contextFor(batch.tokens.length, null);
    encodeHeadInput(context, weights, last, rows.length);
    yield await readLogits(gpu, context, weights, rows.length);
  }
}

async function readStream(
  model: LanguageModel,
  index: number,
  { tokens }: MicroBatch,
): Promise<Float32Array> {
  const bytes = 4 * tokens.length * model.spec.hiddenSize;
  return new Float32Array(await model.gpu.read(model.residual(index), bytes));
}

/** Replaces the one layer on the GPU. */
async function writeLayer(
  model: LanguageModel,
  checkpoint: Pick<LoadableCheckpoint, "readTensor">,
  index: number,
): Promise<void> {
  for (const tensor of modelTensors(model.spec)) {
    if (tensor.kind !== "linear" || tensor.layer !== index) continue;
    const { weight } = model.weights.layers[index]!.linears[tensor.role]!;
    if (!("values" in weight)) throw new Error(`${tensor.name} is not in f32`);
    model.gpu.write(weight.values, await checkpoint.readTensor(tensor.name, tensor.shape));
  }
}
