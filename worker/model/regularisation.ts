/** What training adds to a pass so that the adapter learns less by heart: dropout, noise on embeddings, smoothed labels. */
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { LoraPlan } from "../../shared/memory/lora_plan.ts";
import { counterKey } from "../kernels/elementwise/counter_hash.ts";
import type { TrainingPass, Workspace } from "./pass_context.ts";

/** Besides LoRA's dropout; both 0: none. */
export interface Regularisation {
  /** NEFTune's alpha. */
  readonly noiseAlpha: number;
  /** The share of a target's probability that all tokens have alike. */
  readonly labelSmoothing: number;
}

export const NO_REGULARISATION: Regularisation = { noiseAlpha: 0, labelSmoothing: 0 };

interface Trained {
  readonly lora: LoraPlan;
  readonly regularisation: Regularisation;
  readonly workspace: Workspace;
}

/** A sequence of random numbers that belongs to no module. */
const NOISE_SEQUENCE = 2 ** 32 - 1;

/** Everything random in it depends on the seed and the job-wide number of the micro-batch alone. */
export function trainingPass(
  model: Trained,
  { weights }: MicroBatch,
  seed: number,
  microBatchNumber: number,
): TrainingPass {
  const { lora, regularisation: { noiseAlpha: alpha, labelSmoothing }, workspace } = model;
  const keyOf = (sequence: number) => counterKey(seed, microBatchNumber, sequence);
  return {
    dropout: lora.dropout === 0 ? null : { probability: lora.dropout, keyOf, scratch: workspace.dropped },
    embeddingNoise: alpha === 0 ? null : { key: keyOf(NOISE_SEQUENCE), alpha },
    labelSmoothing,
    isWeighted: weights !== undefined,
  };
}
