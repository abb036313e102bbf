/**
 * The whole model: embeddings → layers → head, forward and backward of one micro-batch. Holds every GPU buffer of the memory
 * plan; nothing is allocated afterwards.
 */
import type { LoraSpec } from "../../shared/job/job_spec.ts";
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { Gpu } from "../device/gpu.ts";
import type { GpuTensor } from "../device/tensor.ts";
import { dropoutKey } from "../kernels/dropout.ts";
import { encodeGatherRows } from "../kernels/rows.ts";
import type { Checkpoint } from "../files/checkpoint_reader.ts";
import { encodeHeadInput, encodeLogits, encodeLoss, encodeLossBackward } from "./head.ts";
import {
  type Activations,
  attendWithin,
  type DecoderLayer,
  encodeLayer,
  encodeLayerBackward,
  type PassContext,
  type Tensors,
  type Workspace,
} from "./layer.ts";
import { type LoraPlan, planLora } from "./lora.ts";
import { bindLora, type DropoutPass } from "./lora_linear.ts";
import {
  activationSizes,
  adapterSizes,
  assertFits,
  chunkColumns,
  formatPlan,
  loraInnerStride,
  needsCheckpointing,
  planMemory,
  type PlanOptions,
  type Sizes,
  workspaceSizes,
} from "./memory_plan.ts";
import { writeMicroBatch } from "./micro_batch_upload.ts";
import { checkPositions, ropeTable, type TransformerSpec } from "./transformer_spec.ts";
import { type BaseWeights, loadBaseWeights } from "./weights.ts";

export interface ModelOptions extends Omit<PlanOptions, "maxTensorBytes" | "gradientCheckpointing"> {
  /** The gradient has the same bits either way. */
  readonly gradientCheckpointing: boolean | "where needed";
  /** Null: the base model alone, which cannot be trained. */
  readonly lora: LoraSpec | null;
  readonly memoryBudgetBytes: number | null;
}

export class LanguageModel {
  readonly gpu: Gpu;
  readonly spec: TransformerSpec;
  readonly lora: LoraPlan;
  readonly weights: BaseWeights;
  readonly layers: readonly DecoderLayer[];
  readonly workspace: Workspace;
  /** The flat adapter, its gradient and the integer sums. */
  readonly flat: Tensors<ReturnType<typeof adapterSizes>>;
  readonly planText: string;
  readonly plannedBytes: number;
  readonly maxTokens: number;
  /** The highest position of a token + 1. */
  readonly maxPositions: number;
  /** One per layer, or one for all with gradient checkpointing. */
  readonly #activations: readonly Activations[];
  /** The residual stream before each layer and after the last. */
  readonly #residuals: readonly GpuTensor[];

  private constructor(parts: {
    gpu: Gpu;
    spec: TransformerSpec;
    lora: LoraPlan;
    weights: BaseWeights;
    options: PlanOptions;
    planText: string;
    plannedBytes: number;
  }) {
    const { gpu, spec, lora, weights, options } = parts;
    this.gpu = gpu;
    this.spec = spec;
    this.lora = lora;
    this.weights = weights;
    this.planText = parts.planText;
    this.plannedBytes = parts.plannedBytes;
    this.maxTokens = options.maxTokens;
    this.maxPositions = options.maxPositions;
    const { maxTokens, training } = options;
    this.workspace = allocateAll(gpu, workspaceSizes(spec, lora, options));
    this.flat = allocateAll(gpu, adapterSizes(lora, training));
    const slabs = training && !options.gradientCheckpointing ? spec.layerCount : 1;
    this.#activations = Array.from(
      { length: slabs },
      () => allocateAll(gpu, activationSizes(spec, lora, maxTokens)),
    );
    const residuals = training ? spec.layerCount + 1 : 2;
    this.#residuals = Array.from(
      { length: residuals },
      (_, index) => gpu.allocate(`residual ${index}`, maxTokens * spec.hiddenSize * 4),
    );
    this.layers = bindLayers(lora, weights, this.flat.adapter, training ? this.flat.gradient : null);
    const { cos, sin } = ropeTable(spec, options.maxPositions);
    gpu.write(this.workspace.ropeCos, cos);
    gpu.write(this.workspace.ropeSin, sin);
    if (training) {
      const { tensors, elementCount } = lora.layout;
      const tensorOfBlock = new Uint32Array(elementCount / 64);
      tensors.forEach(({ offset }, index) => tensorOfBlock.fill(index, offset / 64));
      gpu.write(this.flat.tensorOfBlock, tensorOfBlock);
    }
  }

  /**
   * Plans, checks, loads and allocates.
   * @throws LoraFleetError `does_not_fit` before anything is allocated, `invalid_model`, `invalid_request`
   */
  static async load(gpu: Gpu, checkpoint: Checkpoint, options: ModelOptions): Promise<LanguageModel> {
    const { spec } = checkpoint;
    const lora = planLora(spec, options.lora);
    checkPositions(spec, options.maxPositions);
    const { gradientCheckpointing: wanted, memoryBudgetBytes } = options;
    const doubleQuantization = checkpoint.storedDoubleQuantization ?? options.doubleQuantization;
    const sizes = { ...options, doubleQuantization, maxTensorBytes: gpu.maxTensorBytes };
    const gradientCheckpointing = wanted === "where needed"
      ? needsCheckpointing(spec, lora, sizes, memoryBudgetBytes)
      : wanted;
    const planOptions = { ...sizes, gradientCheckpointing };
    const plan = planMemory(spec, lora, planOptions);
    assertFits(plan, memoryBudgetBytes, gpu.maxTensorBytes, gpu.description);
    const weights = await loadBaseWeights(gpu, checkpoint, {
      doubleQuantization,
      slabRows: chunkColumns(spec, planOptions),
    });
    const model = new LanguageModel({
      gpu,
      spec,
      lora,
      weights,
      options: planOptions,
      planText: formatPlan(plan),
      plannedBytes: plan.totalBytes,
    });
    await gpu.throwIfFailed("Allocating the memory plan");
    return model;
  }

  /**
   * The summed cross entropy of a micro-batch, in nats, without gradients.
   */
  async evaluate(batch: MicroBatch): Promise<number> {
    const headRows = writeMicroBatch(this, batch);
    if (headRows === 0) return 0;
    const context = this.contextFor(batch.tokens.length, null);
    const hidden = this.#forward(context);
    encodeHeadInput(context, this.weights, hidden, headRows);
    encodeLoss(context, this.weights, headRows);
    return new Float32Array(await this.gpu.read(this.workspace.loss))[0]!;
  }

  /**
   * Records forward and backward of the summed loss: afterwards `flat.gradient` holds the gradient of all LoRA tensors and
   * `workspace.loss` the loss.
   * @param microBatchNumber keys the dropout masks together with `seed`
   */
  encodeGradient(batch: MicroBatch, seed: number, microBatchNumber: number): void {
    const headRows = writeMicroBatch(this, batch);
    const context = this.contextFor(batch.tokens.length, this.#dropoutOf(seed, microBatchNumber));
    const hidden = this.#forward(context);
    encodeHeadInput(context, this.weights, hidden, headRows);
    encodeLoss(context, this.weights, headRows);
    encodeLossBackward(context, this.weights, headRows);
    const attend = attendWithin(context);
    const checkpointing = this.#activations.length === 1;
    for (let index = this.layers.length - 1; index >= 0; index--) {
      const layer = this.layers[index]!;
      const kept = this.#activationsOf(index);
      // The last layer's activations are the newest: they are still there.
      const recompute = checkpointing && index !== this.layers.length - 1;
      if (recompute) encodeLayer(context, layer, kept, this.#residuals[index]!, null, attend);
      encodeLayerBackward(context, layer, kept, this.#residuals[index]!);
    }
  }

  /** Logits [rows.length, vocabulary] at the given tokens of a micro-batch, for tests and for comparing models. */
  async logitsAt(batch: MicroBatch, rows: Uint32Array): Promise<Float32Array> {
    writeMicroBatch(this, batch);
    this.gpu.write(this.workspace.headRows, rows);
    const context = this.contextFor(batch.tokens.length, null);
    encodeHeadInput(context, this.weights, this.#forward(context), rows.length);
    return await readLogits(this, context, rows.length);
  }

  /** What the encoders of one pass need. */
  contextFor(rows: number, dropout: DropoutPass | null): PassContext {
    return {
      pass: this.gpu.pass,
      spec: this.spec,
      workspace: this.workspace,
      rows,
      dropout,
      loraInnerStride: loraInnerStride(this.lora, this.maxTokens),
    };
  }

  /** Records embeddings and all layers without keeping activations; returns the residual stream after the last layer. */
  encodeForward(
    context: PassContext,
    attendAt: (layerIndex: number) => ReturnType<typeof attendWithin>,
  ): GpuTensor {
    this.#encodeEmbeddings(context);
    this.layers.forEach((layer, index) =>
      encodeLayer(
        context,
        layer,
        this.#activationsOf(index),
        this.#residual(index),
        this.#residual(index + 1),
        attendAt(index),
      )
    );
    return this.#residual(this.layers.length);
  }

  #forward(context: PassContext): GpuTensor {
    const attend = attendWithin(context);
    return this.encodeForward(context, () => attend);
  }

  #encodeEmbeddings({ pass, rows }: PassContext): void {
    encodeGatherRows(pass, {
      slabs: this.weights.embeddings,
      indices: this.workspace.tokens,
      y: this.#residual(0),
      rows,
      columns: this.spec.hiddenSize,
    });
  }

  #dropoutOf(seed: number, microBatchNumber: number): DropoutPass | null {
    if (this.lora.dropout === 0) return null;
    return {
      probability: this.lora.dropout,
      keyOf: (moduleIndex) => dropoutKey(seed, microBatchNumber, moduleIndex),
      scratch: this.workspace.dropped,
    };
  }

  #activationsOf(layerIndex: number): Activations {
    return this.#activations[layerIndex % this.#activations.length]!;
  }

  #residual(index: number): GpuTensor {
    return this.#residuals[index % this.#residuals.length]!;
  }
}

/** Reads logits [rows, vocabulary] chunk by chunk, after `encodeHeadInput`. */
export async function readLogits(
  model: LanguageModel,
  context: PassContext,
  rows: number,
): Promise<Float32Array> {
  const { vocabSize } = model.spec;
  const all = new Float32Array(rows * vocabSize);
  for (const slab of model.weights.head) {
    encodeLogits(context, slab, rows);
    const chunk = new Float32Array(await model.gpu.read(model.workspace.logits, rows * slab.rowCount * 4));
    for (let row = 0; row < rows; row++) {
      const part = chunk.subarray(row * slab.rowCount, (row + 1) * slab.rowCount);
      all.set(part, row * vocabSize + slab.firstRow);
    }
  }
  return all;
}

function bindLayers(
  plan: LoraPlan,
  weights: BaseWeights,
  adapter: GpuTensor,
  gradient: GpuTensor | null,
): DecoderLayer[] {
  const bound = bindLora(plan, adapter, gradient);
  return weights.norms.map((norms, index) => {
    const linear = (name: string) => {
      const full = `model.layers.${index}.${name}`;
      return { base: weights.linears.get(full)!, lora: bound.get(full) ?? null };
    };
    return {
      norms,
      linears: {
        query: linear("self_attn.q_proj"),
        key: linear("self_attn.k_proj"),
        value: linear("self_attn.v_proj"),
        output: linear("self_attn.o_proj"),
        gate: linear("mlp.gate_proj"),
        up: linear("mlp.up_proj"),
        down: linear("mlp.down_proj"),
      },
      passesGradient: index > 0,
    };
  });
}

function allocateAll<S extends Sizes>(gpu: Gpu, sizes: S): Tensors<S> {
  const entries = Object.entries(sizes).map(([name, bytes]) => [name, gpu.allocate(name, bytes)] as const);
  return Object.fromEntries(entries) as Tensors<S>;
}
