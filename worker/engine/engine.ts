/**
 * The interface between a worker's agent and the thread that owns the GPU. It mentions neither WebGPU nor NATS, so that tests
 * run the protocol with a toy engine, and the engine without a network.
 *
 * One step:
 *
 *     computeGradient → (the coordinator counts it) → accumulate      once per micro-batch of this worker
 *     computeGradient → gradientDigest, gradientCheck                once per audited one, before or instead of counting
 *     readSums → (all-reduce) → update                                once
 *     commit | rollback                                               after all digests arrived
 *     evaluate                                                        between two steps, once per micro-batch of the validation rows
 */
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { LoraSpec } from "../../shared/job/job_spec_schema.ts";
import type { Arriving } from "../async/arrival.ts";
import type { Regularisation } from "../model/regularisation.ts";
import type { UpdateRequest } from "../optimizer/adamw.ts";
import type { TrainingState } from "../optimizer/adamw_state.ts";
import type { Nf4CacheSettings } from "../files/linears/nf4_cache.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";

export interface EngineSpec {
  /** A folder in Hugging Face layout. */
  readonly modelFolder: string;
  readonly lora: LoraSpec;
  /** Seeds the initial adapter and the dropout masks. */
  readonly seed: number;
  /** Whether NF4's absmax is itself quantised to 8 bits. */
  readonly doubleQuantization: boolean;
  /** Recompute the activations for which there is no memory in the backward pass; the gradient's bits are the same. */
  readonly gradientCheckpointing: boolean;
  /** Sizes the buffers. */
  readonly maxTokensPerMicroBatch: number;
  /** Of the largest micro-batch that is evaluated, if that is larger. Has no effect on the bits of training. */
  readonly maxTokensPerEvaluation?: number | undefined;
  /** The highest position of a token + 1; sizes the RoPE table. */
  readonly maxPositions: number;
  /** NEFTune's noise and smoothed labels; left out: neither. */
  readonly regularisation?: Regularisation | undefined;
  /** Accept a software GPU (lavapipe, SwiftShader). */
  readonly allowCpu: boolean;
  /** Refuse a memory plan above this many bytes. Null: what a probe of the card finds. */
  readonly memoryBudgetBytes: number | null;
  /** Its caller keeps the states of local steps beside it, which the plan of the main memory counts; left out: no. */
  readonly hasLocalSteps?: boolean;
  /** Where base models in NF4 are kept for the next start; null or left out: nowhere. */
  readonly nf4Cache?: Nf4CacheSettings | null;
  /** Names the contents of the base model's weights in the cache; left out: not cached. */
  readonly weightsHash?: string;
  /** Where the memory of probed GPUs is remembered; left out: nowhere. */
  readonly gpuMemoryFile?: string | undefined;
}

export interface LoadedEngine {
  readonly layout: GradientLayout;
  /** Of the initial adapter and moments (shared/protocol/state/state_digest.ts): the same on all workers of a job. */
  readonly digest: string;
  readonly gpuDescription: string;
  /** Of a PiSSA job: SHA-256 (hex) of the adapter at its start, which all results are the difference from. */
  readonly pissaDigest?: string;
  /** The memory plan as text, for the log. */
  readonly planText: string;
  readonly plannedBytes: number;
  /** What the plan may take of the GPU's memory; null, or left out: unknown. */
  readonly budgetBytes?: number | null;
  /** What went wrong without stopping the load: a damaged cache, a full disk. */
  readonly warnings?: readonly string[];
}

export interface EvaluationResult {
  /** Sum of the cross entropy over the tokens that count, in training each by its weight, in nats. */
  readonly lossSum: number;
  /** Tokens that count in the loss, in training each by its weight. */
  readonly labelCount: number;
  /** Those of them that the model finds most likely, by the same weights; of no meaning in training with smoothed labels. */
  readonly correctCount: number;
}

export interface MicroBatchResult extends EvaluationResult {
  /** Largest |gradient| of each LoRA tensor, in the layout's order. NaN or Infinity if the gradient has one. */
  readonly maxAbs: Float32Array;
}

export interface UpdateResult {
  /** Global L2 norm of the averaged gradient before clipping. */
  readonly gradientNorm: number;
  /** Of the new adapter and moments (shared/protocol/state/state_digest.ts): equal on all workers, or the step aborts. */
  readonly digest: string;
}

/** The part of the engine that every optimizer step uses, whatever work its gradients come from. */
export interface StepEngine {
  load(spec: EngineSpec): Promise<LoadedEngine>;
  /** SHA-256 (hex) over the bits of the current gradient: equal on equal GPUs and drivers. The gradient stays as it is. */
  gradientDigest(): Promise<string>;
  /** The two-word checksum (shared/protocol/linear_check.ts) of what `accumulate` would add. The gradient stays as it is. */
  gradientCheck(exponents: Int8Array, seed: number): Promise<Int32Array>;
  /** Adds round(gradient · 2^−exponent), tensor by tensor, to the integer sums. Exact in any order. */
  accumulate(exponents: Int8Array): Promise<void>;
  /**
   * The integer gradient sums so far [elementCount], which stay in the engine until `commit`, `rollback` or `dropSums`. The caller
   * may change the array and hand it to `update`; the next call overwrites it.
   * @param arriving may be told of sums as they come into the array, and may change at once what it has been told of
   */
  readSums(arriving?: Arriving): Promise<Int32Array>;
  /** Discards gradient sums, but no update. */
  dropSums(): Promise<void>;
  /** Discards gradient sums and an uncommitted update. */
  rollback(): Promise<void>;
  /** Computes the next adapter and moments beside the current ones. */
  update(request: UpdateRequest): Promise<UpdateResult>;
  /** Makes the updated adapter and moments the current ones; discards gradient sums. */
  commit(): Promise<void>;
  /**
   * Loss and hits of the committed adapter, without dropout. Changes neither the adapter nor its moments; not while there is a
   * gradient or an uncommitted update.
   */
  evaluate(batch: MicroBatch): Promise<EvaluationResult>;
  /** The committed state, to be read only. It stays as it is: later updates go into other memory. */
  exportState(): Promise<TrainingState>;
  /**
   * Makes `state` the current one; discards gradient sums and an uncommitted update. Returns its digest, or `expected` if that is
   * the state's digest in the form of an earlier release.
   */
  importState(state: TrainingState, expected?: string): Promise<{ digest: string }>;
  /** Writes the current adapter as PEFT does (`adapter_model.safetensors`, `adapter_config.json`) into `folder`. */
  writeAdapter(folder: string, baseModelName: string): Promise<void>;
  /** Writes the current adapter and moments into `folder` as a checkpoint (shared/protocol/state/checkpoint_format.ts). */
  writeState(folder: string): Promise<void>;
  close(): Promise<void>;
}

/** The engine of micro-batches. */
export interface Engine extends StepEngine {
  /**
   * Forward and backward of the summed token losses; the gradient stays on the GPU until the next call.
   * @param microBatchNumber the job-wide number of the micro-batch: keys the dropout masks on any worker
   */
  computeGradient(batch: MicroBatch, microBatchNumber: number): Promise<MicroBatchResult>;
  /** A copy of the committed adapter [elementCount], the caller's own: unlike `exportState` it leaves updates their memory. */
  copyAdapter(): Promise<Float32Array>;
}
