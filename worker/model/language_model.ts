/**
 * The whole model: embeddings → layers → head, forward and backward of one micro-batch. Holds every GPU buffer of the memory
 * plan and allocates nothing afterwards.
 */
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { LoraSpec } from "../../shared/job/job_spec_schema.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import type { Gpu } from "../device/gpu.ts";
import type { GpuTensor } from "../device/tensor.ts";
import { type Attend, attendWithin } from "./attention_block.ts";
import { bindLayers } from "./bind_layers.ts";
import { encodeEmbeddings } from "./residual_stream.ts";
import { encodeHeadInput, encodeLoss, encodeLossBackward, readLogits, readLoss } from "./head.ts";
import { encodeLayer, encodeLayerBackward, encodeNormsAndUnit } from "./layer.ts";
import { type LoraPlan, planLora } from "../../shared/memory/lora_plan.ts";
import {
  chunkColumns,
  headRowsOf,
  loraInnerStride,
  type PlanOptions,
} from "../../shared/memory/buffer_sizes.ts";
import { formatBytes } from "../../shared/memory/format_bytes.ts";
import { storedTableFormats } from "../../shared/memory/table_sizes.ts";
import { assertFits, formatPlan } from "../../shared/memory/memory_fit.ts";
import { activationSlabs } from "../../shared/memory/activation_slabs.ts";
import { windowWithin } from "../../shared/model/positions/sliding_window.ts";
import { keepWithin } from "../../shared/memory/kept_layers.ts";
import { planMemory } from "../../shared/memory/memory_plan.ts";
import { lowestTrainedLayer, trainedLayers } from "../../shared/memory/trained_layers.ts";
import { KeptActivations } from "./kept_activations.ts";
import { attendedPairs, writeHeadBlock, writeMicroBatch, writeWeights } from "./micro_batch_upload.ts";
import { allocateBuffers, type ModelBuffers } from "./model_buffers.ts";
import type { DecoderLayer, LayerPass, PassContext, TrainingPass, Workspace } from "./pass_context.ts";
import { checkPositions } from "./rope_table.ts";
import { NO_REGULARISATION, type Regularisation, trainingPass } from "./regularisation.ts";
import { type BaseWeights, type LoadableCheckpoint, loadBaseWeights } from "./weights.ts";

export interface ModelOptions extends Omit<PlanOptions, "maxTensorBytes" | "keptLayers" | "tables"> {
  /** Layers that keep their activations: so many, or as many as fit. The gradient has the same bits with any number. */
  readonly keptLayers: number | "all" | "what fits";
  /** Null: the base model alone, which cannot be trained. */
  readonly lora: LoraSpec | null;
  readonly memoryBudgetBytes: number | null;
  /** Of the budget, what kept activations leave free. Left out: nothing. */
  readonly headroomBytes?: number;
  /** Where the budget comes from, for the plan's text. */
  readonly budgetSource?: string;
  /**
   * The weights as they are stored, in f32, for evaluation; the plan counts them as NF4. "by layer": room for one layer's, which
   * layerwise.ts fills.
   */
  readonly fullPrecision?: boolean | "by layer";
  /** Left out: none. */
  readonly regularisation?: Regularisation;
}

/** A micro-batch's summed loss, the tokens that count in it, and those that the model finds most likely. */
export interface Evaluated {
  readonly lossSum: number;
  readonly labelCount: number;
  readonly correctCount: number;
}

type PlannedModel = ReturnType<typeof planModel>;

export class LanguageModel {
  readonly gpu: Gpu;
  readonly spec: TransformerSpec;
  readonly lora: LoraPlan;
  readonly weights: BaseWeights;
  readonly layers: readonly DecoderLayer[];
  readonly workspace: Workspace;
  /** The adapter, its gradient and the integer sums. */
  readonly flat: ModelBuffers["flat"];
  readonly planText: string;
  readonly plannedBytes: number;
  readonly maxTokens: number;
  /** The highest position of a token + 1. */
  readonly maxPositions: number;
  readonly regularisation: Regularisation;
  readonly #buffers: ModelBuffers;
  readonly #activations: KeptActivations;
  readonly #lowestTrained: number;
  readonly #maxHeadRows: number;

  private constructor(parts: ModelParts) {
    const { gpu, spec, planned, weights, buffers, activations, planText, plannedBytes } = parts;
    const { lora, options } = planned;
    this.gpu = gpu;
    this.spec = spec;
    this.lora = lora;
    this.weights = weights;
    this.planText = planText;
    this.plannedBytes = plannedBytes;
    this.maxTokens = options.maxTokens;
    this.maxPositions = options.maxPositions;
    this.regularisation = planned.regularisation;
    this.#maxHeadRows = headRowsOf(options);
    this.#buffers = buffers;
    this.#activations = activations;
    this.#lowestTrained = lowestTrainedLayer(spec, lora);
    const { workspace, flat } = buffers;
    this.workspace = workspace;
    this.flat = flat;
    this.layers = bindLayers(spec, lora, weights, flat, options.training);
  }

  /**
   * Plans, checks, loads and allocates.
   * @throws LoraFleetError `does_not_fit` before anything is allocated, `invalid_model`, `invalid_request`
   */
  static async load(gpu: Gpu, checkpoint: LoadableCheckpoint, options: ModelOptions): Promise<LanguageModel> {
    return new LanguageModel(await loadParts(gpu, checkpoint, options));
  }

  /** Layers whose activations are kept. */
  get keptLayers(): number {
    return this.#activations.count;
  }

  /** What the GPU had in all, if that was less than planned. */
  get givenBytes(): number | null {
    return this.#activations.shortfall?.givenBytes ?? null;
  }

  /**
   * Frees half of the kept activations; later micro-batches compute them again.
   * @returns false if there is nothing to free
   */
  keepFewerLayers(): boolean {
    return this.#activations.shrink();
  }

  /** The summed cross entropy of a micro-batch, in nats, and its labels that are the most likely token; without gradients. */
  async evaluate(batch: MicroBatch): Promise<Evaluated> {
    const labelCount = writeMicroBatch(this, batch);
    if (labelCount === 0) return { lossSum: 0, labelCount, correctCount: 0 };
    const context = contextOf(this, batch, null);
    const hidden = this.#forward(context);
    const writeBlock = (from: number, to: number) => writeHeadBlock(this, batch, from, to);
    const blocks = { rows: labelCount, blockRows: this.#maxHeadRows, writeBlock };
    return { labelCount, ...await readLoss(this.gpu, context, this.weights, hidden, blocks) };
  }

  /**
   * Records forward and backward of the summed loss: afterwards `flat` holds the gradient of all LoRA tensors and
   * `workspace.loss` the loss.
   * @param microBatchNumber keys the dropout masks together with `seed`
   */
  encodeGradient(batch: MicroBatch, seed: number, microBatchNumber: number): void {
    const headRows = writeMicroBatch(this, batch);
    writeWeights(this, batch);
    const context = contextOf(this, batch, trainingPass(this, batch, seed, microBatchNumber));
    const hidden = this.#forward(context);
    encodeHeadInput(context, this.weights, hidden, headRows);
    encodeLoss(context, this.weights, headRows);
    encodeLossBackward(context, this.weights, headRows);
    const last = this.layers.length - 1;
    for (let index = last; index >= this.#lowestTrained; index--) {
      const at = this.layerAt(context, index);
      if (!this.#activations.isKept(index)) encodeLayer(at, this.residual(index), null, attendWithin(at));
      else if (this.#activations.isRemade(index)) encodeNormsAndUnit(at, this.residual(index));
      encodeLayerBackward(at, this.residual(index));
    }
  }

  /** Logits [rows.length, vocabulary] at the given tokens of a micro-batch, to compare models. */
  async logitsAt(batch: MicroBatch, rows: Uint32Array): Promise<Float32Array> {
    writeMicroBatch(this, batch);
    this.gpu.write(this.workspace.headRows, rows);
    const context = contextOf(this, batch, null);
    encodeHeadInput(context, this.weights, this.#forward(context), rows.length);
    return await readLogits(this.gpu, context, this.weights, rows.length);
  }

  /** The context of one pass over `rows` tokens. */
  contextFor(rows: number, training: TrainingPass | null): PassContext {
    return {
      pass: this.gpu.pass,
      spec: this.spec,
      workspace: this.workspace,
      ropeTables: this.#buffers.ropeTables,
      rows,
      pairs: null,
      training,
      loraInnerStride: loraInnerStride(this.lora, this.maxTokens),
    };
  }

  /** Records embeddings and all layers without keeping activations; returns the residual stream after the last layer. */
  encodeForward(context: PassContext, attendAt: (at: LayerPass, layerIndex: number) => Attend): GpuTensor {
    encodeEmbeddings(context, this.weights, this.residual(0));
    this.layers.forEach((_, index) => {
      const at = this.layerAt(context, index);
      encodeLayer(at, this.residual(index), this.residual(index + 1), attendAt(at, index));
    });
    return this.residual(this.layers.length);
  }

  #forward(context: PassContext): GpuTensor {
    return this.encodeForward(context, attendWithin);
  }

  /** A layer in a pass. */
  layerAt(context: PassContext, index: number): LayerPass {
    return { context, layer: this.layers[index]!, kept: this.#activations.of(index) };
  }

  /** The residual stream before a layer [maxTokens, hidden]; of the last one's index + 1: after all. */
  residual(index: number): GpuTensor {
    const { residuals } = this.#buffers;
    return residuals[index % residuals.length]!;
  }
}

/** The context of one pass over a micro-batch. */
function contextOf(model: LanguageModel, batch: MicroBatch, training: TrainingPass | null): PassContext {
  const window = windowWithin(model.spec, model.maxPositions);
  const pairs = attendedPairs(batch.segmentStarts, (t) => t + 1, window);
  return { ...model.contextFor(batch.tokens.length, training), pairs };
}

/** Everything that a model is made of, on the GPU. */
interface ModelParts {
  readonly gpu: Gpu;
  readonly spec: TransformerSpec;
  readonly planned: PlannedModel;
  readonly weights: BaseWeights;
  readonly buffers: ModelBuffers;
  readonly activations: KeptActivations;
  readonly planText: string;
  readonly plannedBytes: number;
}

async function loadParts(
  gpu: Gpu,
  checkpoint: LoadableCheckpoint,
  wanted: ModelOptions,
): Promise<ModelParts> {
  const { spec } = checkpoint;
  const planned = planModel(gpu, checkpoint, wanted);
  const { lora, options, plan } = planned;
  assertFits(plan, wanted.memoryBudgetBytes, gpu.maxTensorBytes, gpu.description);
  const slabRows = chunkColumns(spec, options);
  const { fullPrecision = false } = wanted;
  const { doubleQuantization } = options;
  const weights = await loadBaseWeights(gpu, checkpoint, { doubleQuantization, slabRows, fullPrecision });
  const buffers = allocateBuffers(gpu, spec, lora, options);
  await gpu.throwIfFailed("Allocating the memory plan");
  const activations = await KeptActivations.allocate(gpu, {
    slabs: activationSlabs(spec, lora, options),
    layerCount: spec.layerCount,
    count: plan.keptLayers,
    mayShrink: wanted.keptLayers !== "all",
  });
  const { count } = activations;
  const given = count === plan.keptLayers ? plan : planMemory(spec, lora, { ...options, keptLayers: count });
  const texts = [
    formatPlan(given),
    ...budgetLines(wanted),
    ...activations.shortfall === null ? [] : [activations.shortfall.text],
  ];
  const told = { planText: texts.join("\n"), plannedBytes: given.totalBytes };
  return { gpu, spec, planned, weights, buffers, activations, ...told };
}

function budgetLines({ memoryBudgetBytes, headroomBytes = 0, budgetSource }: ModelOptions): string[] {
  if (budgetSource === undefined) return [];
  const source = `  memory budget: ${budgetSource}`;
  if (memoryBudgetBytes === null) return [source];
  const left = headroomBytes === 0 ? "" : `; kept activations leave ${formatBytes(headroomBytes)} free`;
  return [`${source}, ${formatBytes(memoryBudgetBytes)}${left}`];
}

function planModel(gpu: Gpu, checkpoint: LoadableCheckpoint, wanted: ModelOptions) {
  const { spec, storedDoubleQuantization, dtypeOf } = checkpoint;
  const lora = planLora(spec, wanted.lora);
  checkPositions(spec, wanted.maxPositions);
  const doubleQuantization = storedDoubleQuantization ?? wanted.doubleQuantization;
  const tables = storedTableFormats(spec, dtypeOf);
  const sizes = { ...wanted, tables, doubleQuantization, maxTensorBytes: gpu.maxTensorBytes };
  const { memoryBudgetBytes, headroomBytes = 0 } = wanted;
  const budgetBytes = memoryBudgetBytes === null ? null : memoryBudgetBytes - headroomBytes;
  const kept = wanted.keptLayers === "what fits"
    ? keepWithin(spec, lora, sizes, budgetBytes)
    : { keptLayers: wanted.keptLayers === "all" ? trainedLayers(spec, lora) : wanted.keptLayers };
  const options: PlanOptions = { ...sizes, ...kept };
  const { regularisation = NO_REGULARISATION } = wanted;
  return { lora, options, regularisation, plan: planMemory(spec, lora, options) };
}
