/**
 * What a worker's agent asks of the thread that owns the GPU. Nothing here speaks of WebGPU or of NATS, so that the
 * protocol can be tested with a toy engine, and the engine without a network.
 *
 * The life of one step:
 *
 *     computeGradient → (the coordinator counts it) → accumulate      once for each micro-batch this worker got
 *     computeGradient → gradientDigest, gradientCheck                for each that is audited, before it is counted or instead
 *     takeSums → (all-reduce) → update                                once
 *     commit | rollback                                               when all digests are in
 */
import type { MicroBatch } from "../../shared/data/micro_batch.ts";
import type { LoraSpec } from "../../shared/job/job_spec.ts";
import type { UpdateRequest } from "../optimizer/adamw.ts";
import type { TrainingState } from "../optimizer/adamw_state.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";

export interface EngineSpec {
  /** A folder in Hugging Face layout. */
  readonly modelFolder: string;
  readonly lora: LoraSpec;
  /** Seeds the initial adapter and the dropout masks. */
  readonly seed: number;
  /** Whether NF4's absmax is itself quantised to 8 bits. */
  readonly doubleQuantization: boolean;
  /**
   * Keep the inputs of each layer alone and compute the rest again in the backward pass. Where that saves nothing to speak of,
   * the engine keeps everything: the gradient has the same bits.
   */
  readonly gradientCheckpointing: boolean;
  /** The most tokens that one micro-batch will hold; buffers are sized by it. */
  readonly maxTokensPerMicroBatch: number;
  /** The highest position + 1 that a token will have; the RoPE table is sized by it. */
  readonly maxPositions: number;
  /** Accept a software GPU (lavapipe, SwiftShader). */
  readonly allowCpu: boolean;
  /** Refuse when the memory plan exceeds this many bytes. Null: what the device reports. */
  readonly memoryBudgetBytes: number | null;
}

export interface LoadedEngine {
  readonly layout: GradientLayout;
  /** SHA-256 (hex) over the initial adapter and moments: the same on all workers of a job. */
  readonly digest: string;
  readonly gpuDescription: string;
  /** The memory plan as text, for the log. */
  readonly planText: string;
  readonly plannedBytes: number;
}

export interface MicroBatchResult {
  /** Sum of the cross entropy over the tokens that count, in nats. */
  readonly lossSum: number;
  /** Tokens that count in the loss. */
  readonly targetCount: number;
  /** Largest |gradient| of each LoRA tensor, in the layout's order. NaN or Infinity where the gradient has one. */
  readonly maxAbs: Float32Array;
}

export interface UpdateResult {
  /** Global L2 norm of the averaged gradient before clipping. */
  readonly gradientNorm: number;
  /** SHA-256 (hex) over the new adapter and moments: equal on all workers, or the step aborts. */
  readonly digest: string;
}

export interface Engine {
  load(spec: EngineSpec): Promise<LoadedEngine>;
  /**
   * Forward and backward of the summed token losses; the gradient stays on the GPU until the next call.
   * @param microBatchNumber the job-wide number of the micro-batch: keys the dropout masks, whoever does the work.
   */
  computeGradient(batch: MicroBatch, microBatchNumber: number): Promise<MicroBatchResult>;
  /** SHA-256 (hex) over the bits of the current gradient, which stays as it is: equal for equal GPUs and drivers. */
  gradientDigest(): Promise<string>;
  /**
   * The checksum of the integers that `accumulate` would add with these exponents, by the weights of a seed
   * (shared/protocol/linear_check.ts): two words. The gradient stays as it is.
   */
  gradientCheck(exponents: Int8Array, seed: number): Promise<Int32Array>;
  /** Adds round(gradient · 2^−exponent), tensor by tensor, to the integer sums. Exact in any order. */
  accumulate(exponents: Int8Array): Promise<void>;
  /** The integer gradient sums since the last call [elementCount]; they start again from zero. */
  takeSums(): Promise<Int32Array>;
  /** Forgets gradient sums and any update that is not committed. */
  rollback(): Promise<void>;
  /** Computes the next adapter and moments beside the current ones. */
  update(request: UpdateRequest): Promise<UpdateResult>;
  /** Makes the updated adapter and moments the current ones. */
  commit(): Promise<void>;
  exportState(): Promise<TrainingState>;
  /** Makes `state` the current one; gradient sums and any update that is not committed are forgotten. */
  importState(state: TrainingState): Promise<{ digest: string }>;
  /** Writes the current adapter as PEFT does (`adapter_model.safetensors`, `adapter_config.json`) into `folder`. */
  writeAdapter(folder: string, baseModelName: string): Promise<void>;
  /** Writes the current adapter and moments into `folder`, for training to go on from (shared/protocol/checkpoint_format.ts). */
  writeState(folder: string): Promise<void>;
  close(): Promise<void>;
}
