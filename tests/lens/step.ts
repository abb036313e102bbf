/** A step of the real model on a fake device: every command with its cost. */
import { IGNORE_INDEX, type MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { LoraSpec } from "../../shared/job/job_spec_schema.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import type { Gpu } from "../../worker/device/gpu.ts";
import { LanguageModel } from "../../worker/model/language_model.ts";
import type { Regularisation } from "../../worker/model/regularisation.ts";
import { hardwareOf, type LensCard } from "./cards.ts";
import { fakeCheckpoint } from "./fake_checkpoint.ts";
import { openFakeGpu } from "./fake_gpu/open_fake_gpu.ts";
import { secondsOf } from "./predict.ts";
import { price, type PricedCommand } from "./priced_command.ts";

export interface StepOptions {
  readonly lora: LoraSpec;
  /** Of a micro-batch. */
  readonly tokens: number;
  /** Documents of equal length in a micro-batch. */
  readonly documents: number;
  /** Share of a document's tokens, at its end, whose prediction is trained. */
  readonly labelShare: number;
  readonly microBatches: number;
  readonly doubleQuantization: boolean;
  /** True: all layers are computed again. */
  readonly gradientCheckpointing: boolean | "where needed";
  /** What the memory plan may take, or null: what the card gives, found out by allocating. */
  readonly memoryBytes: number | null;
  readonly regularisation: Regularisation;
}

const KEPT_LAYERS = { true: 1, false: "all", "where needed": "what fits" } as const;

/** Micro-batches before the step, from which the worker learns how fast the card is (worker/device/submits). */
const WARM_UP = 2;

export type Submit = readonly PricedCommand[];

export interface StepRecord {
  readonly planText: string;
  /** By the plan, and the most that was allocated at once. */
  readonly plannedBytes: number;
  readonly peakBytes: number;
  readonly loraParameters: number;
  /** Bytes of the sums that are read back, and of the adapter that is written, between steps. */
  readonly adapterBytes: number;
  readonly submits: readonly Submit[];
  /** Of the first micro-batch, when the card counts as slow. */
  readonly firstSubmits: readonly Submit[];
}

/**
 * Loads the model and computes the gradient of a step's micro-batches on a card.
 * @throws LoraFleetError `does_not_fit`
 */
export async function recordStep(
  spec: TransformerSpec,
  card: LensCard,
  options: StepOptions,
): Promise<StepRecord> {
  let submits: Submit[] = [];
  let submit: PricedCommand[] = [];
  const { gpu, device } = await openFakeGpu(hardwareOf(card), (command) => {
    submit.push(price(command));
    return secondsOf(submit.at(-1)!, card);
  });
  device.onSubmit = () => {
    submits.push(submit);
    submit = [];
  };
  const model = await loadModel(gpu, spec, options);
  const batch = microBatchOf(spec, options);
  const compute = async (from: number, to: number) => {
    submits = [];
    for (let number = from; number < to; number++) await computeGradient(gpu, model, batch, number);
    return submits;
  };
  const firstSubmits = await compute(0, 1);
  await compute(1, WARM_UP);
  await compute(WARM_UP, WARM_UP + options.microBatches);
  await gpu.throwIfFailed("Recording a step");
  const { planText, plannedBytes, lora: { layout } } = model;
  const { peakBytes } = device;
  gpu.close();
  const sizes = { loraParameters: layout.parameterCount, adapterBytes: 4 * layout.elementCount };
  return { planText, plannedBytes, peakBytes, ...sizes, submits, firstSubmits };
}

async function loadModel(gpu: Gpu, spec: TransformerSpec, options: StepOptions): Promise<LanguageModel> {
  const model = await LanguageModel.load(gpu, fakeCheckpoint(spec), {
    lora: options.lora,
    maxTokens: options.tokens,
    maxPositions: Math.ceil(options.tokens / options.documents),
    doubleQuantization: options.doubleQuantization,
    keptLayers: KEPT_LAYERS[`${options.gradientCheckpointing}`],
    training: true,
    regularisation: options.regularisation,
    memoryBudgetBytes: options.memoryBytes,
  });
  gpu.submit();
  return model;
}

/** As the engine (worker/engine/training_engine.ts): gradient, maxima, a read, sums. */
async function computeGradient(
  gpu: Gpu,
  model: LanguageModel,
  batch: MicroBatch,
  number: number,
): Promise<void> {
  const { flat, workspace, lora: { layout } } = model;
  model.encodeGradient(batch, 0, number);
  flat.encodeMaxAbs();
  await gpu.readAll([workspace.loss, flat.maxBits]);
  flat.encodeAccumulate(new Int8Array(layout.tensors.length));
  gpu.submit();
}

/** Documents of equal length, the last one shorter if they do not divide; tokens from all over the vocabulary. */
export function microBatchOf(
  { vocabSize }: TransformerSpec,
  { tokens: length, documents, labelShare }: Pick<StepOptions, "tokens" | "documents" | "labelShare">,
): MicroBatch {
  const documentLength = Math.ceil(length / documents);
  const batch = {
    tokens: Uint32Array.from({ length }, (_, t) => Math.floor(t * vocabSize / length)),
    labels: new Int32Array(length).fill(IGNORE_INDEX),
    positions: Uint32Array.from({ length }, (_, t) => t % documentLength),
    segmentStarts: Uint32Array.from({ length }, (_, t) => t - t % documentLength),
  };
  const trained = Math.max(1, Math.round(labelShare * documentLength));
  batch.positions.forEach((position, t) => {
    if (documentLength - position <= trained) batch.labels[t] = (t + 1) % vocabSize;
  });
  return batch;
}
