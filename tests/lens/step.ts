/** A step of the real model on a fake device: every command with its cost. */
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import { IGNORE_INDEX } from "../../shared/data/packing/micro_batch.ts";
import type { LoraSpec } from "../../shared/job/job_spec_schema.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import { LanguageModel } from "../../worker/model/language_model.ts";
import { costOf } from "./costs/command_cost.ts";
import type { KernelCost } from "./costs/kernel_cost.ts";
import { fakeCheckpoint } from "./fake_checkpoint.ts";
import type { FakeHardware } from "./fake_gpu/fake_device.ts";
import { openFakeGpu } from "./fake_gpu/open_fake_gpu.ts";
import type { RecordedCommand } from "./fake_gpu/recorded.ts";

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
  /** What the memory plan may take. */
  readonly memoryBytes: number;
}

const KEPT_LAYERS = { true: 1, false: "all", "where needed": "what fits" } as const;

export interface PricedCommand {
  readonly command: RecordedCommand;
  readonly cost: KernelCost;
}

export interface StepRecord {
  readonly planText: string;
  /** By the plan, and the most that was allocated at once. */
  readonly plannedBytes: number;
  readonly peakBytes: number;
  readonly loraParameters: number;
  /** Bytes of the sums that are read back, and of the adapter that is written, between steps. */
  readonly adapterBytes: number;
  readonly submits: readonly (readonly PricedCommand[])[];
}

/**
 * Loads the model and computes the gradient of a step's micro-batches as the engine does (worker/engine/training_engine.ts).
 * @throws LoraFleetError `does_not_fit`
 */
export async function recordStep(
  spec: TransformerSpec,
  hardware: FakeHardware,
  options: StepOptions,
): Promise<StepRecord> {
  const { gpu, device } = await openFakeGpu(hardware);
  const model = await LanguageModel.load(gpu, fakeCheckpoint(spec), {
    lora: options.lora,
    maxTokens: options.tokens,
    maxPositions: Math.ceil(options.tokens / options.documents),
    doubleQuantization: options.doubleQuantization,
    keptLayers: KEPT_LAYERS[`${options.gradientCheckpointing}`],
    training: true,
    memoryBudgetBytes: options.memoryBytes,
  });
  gpu.submit();
  const submits: PricedCommand[][] = [];
  device.onSubmit = (commands) =>
    submits.push(commands.map((command) => ({ command, cost: costOf(command) })));
  const { flat, workspace, lora: { layout } } = model;
  const batch = microBatchOf(spec, options);
  for (let number = 0; number < options.microBatches; number++) {
    model.encodeGradient(batch, 0, number);
    flat.encodeMaxAbs();
    await gpu.readAll([workspace.loss, flat.maxBits]);
    flat.encodeAccumulate(new Int8Array(layout.tensors.length));
    gpu.submit();
  }
  await gpu.throwIfFailed("Recording a step");
  const { planText, plannedBytes } = model;
  const { peakBytes } = device;
  gpu.close();
  return {
    planText,
    plannedBytes,
    peakBytes,
    loraParameters: layout.parameterCount,
    adapterBytes: 4 * layout.elementCount,
    submits,
  };
}

/** Documents of equal length, the last one shorter if they do not divide; tokens from all over the vocabulary. */
function microBatchOf(
  { vocabSize }: TransformerSpec,
  { tokens: length, documents, labelShare }: StepOptions,
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
