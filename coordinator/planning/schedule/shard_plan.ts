/**
 * Which packed rows go into which micro-batch of which step. The arithmetic is that of transformers' `Trainer` on one device: an
 * epoch's last micro-batch may be ragged, its last step may have fewer micro-batches, and no micro-batch spans two epochs.
 */
import { LoraFleetError } from "../../../shared/errors.ts";
import type { TrainingSpec } from "../../../shared/job/job_spec_schema.ts";
import { pcg32 } from "../../../shared/prng.ts";

export interface ShardPlanOptions {
  readonly rowCount: number;
  /** May be fractional: 1.5 is one epoch and half the steps of the next. */
  readonly epochs: number;
  readonly rowsPerMicroBatch: number;
  readonly microBatchesPerStep: number;
  readonly seed: number;
  /** Above 0: the number of steps, instead of `epochs`. */
  readonly maxSteps: number;
  /** Whether each epoch has a new order. */
  readonly shuffle: boolean;
}

export interface ShardPlan {
  readonly totalSteps: number;
  readonly stepsPerEpoch: number;
  readonly microBatchesPerEpoch: number;
  /** Row indices of each micro-batch of a step (1 … totalSteps). Throws outside. */
  microBatchesOf(step: number): number[][];
  microBatchCountOf(step: number): number;
  /** Row indices in the order of an epoch (from 0). Only the last epoch asked for is cached. */
  orderOf(epoch: number): Uint32Array;
  /** Rows of its epoch that are done after a step. */
  rowsDoneAfter(step: number): number;
  /** The epoch of a step, from 0. */
  epochOf(step: number): number;
  /** Epochs done after a step, as transformers logs it: 0.5 after half of the first epoch's micro-batches. */
  epochsAfter(step: number): number;
}

/** Random streams for the order of epochs; other uses of the job's seed have other streams. */
const ORDER_STREAM = 0x6f726465_00000000n;

export function planShards(options: ShardPlanOptions): ShardPlan {
  const { rowCount, epochs, rowsPerMicroBatch, microBatchesPerStep, seed, maxSteps, shuffle } = options;
  for (const [name, value] of Object.entries({ rowCount, rowsPerMicroBatch, microBatchesPerStep })) {
    if (!Number.isInteger(value) || value < 1) {
      const message = `plan of steps: ${name} is ${value}; a whole number above 0 is needed`;
      throw new LoraFleetError("invalid_request", message);
    }
  }
  const microBatchesPerEpoch = Math.ceil(rowCount / rowsPerMicroBatch);
  const stepsPerEpoch = Math.ceil(microBatchesPerEpoch / microBatchesPerStep);
  const totalSteps = maxSteps > 0 ? maxSteps : Math.ceil(epochs * stepsPerEpoch);
  if (!Number.isSafeInteger(totalSteps) || totalSteps < 1) {
    const message = `plan of steps: ${epochs} epochs of ${stepsPerEpoch} steps are ${totalSteps}`;
    throw new LoraFleetError("invalid_request", message);
  }

  let kept: { readonly epoch: number; readonly order: Uint32Array } | null = null;
  const orderOf = (epoch: number): Uint32Array => {
    if (kept?.epoch !== epoch) {
      kept = { epoch, order: orderOfEpoch(rowCount, shuffle ? { seed, epoch } : null) };
    }
    return kept.order;
  };
  const epochOf = (step: number): number => Math.floor((checked(step) - 1) / stepsPerEpoch);
  const checked = (step: number): number => {
    if (Number.isInteger(step) && step >= 1 && step <= totalSteps) return step;
    throw new LoraFleetError("invalid_request", `step ${step}: steps go from 1 to ${totalSteps}`);
  };
  /** Index of a step's first micro-batch in its epoch, and of the one after its last. */
  const firstOf = (step: number): number => ((step - 1) % stepsPerEpoch) * microBatchesPerStep;
  const endOf = (step: number): number =>
    Math.min(firstOf(checked(step)) + microBatchesPerStep, microBatchesPerEpoch);

  return {
    totalSteps,
    stepsPerEpoch,
    microBatchesPerEpoch,
    epochOf,
    microBatchCountOf: (step) => endOf(step) - firstOf(step),
    orderOf,
    rowsDoneAfter: (step) => Math.min(endOf(step) * rowsPerMicroBatch, rowCount),
    microBatchesOf(step) {
      const order = orderOf(epochOf(step));
      const first = firstOf(step);
      return Array.from({ length: endOf(step) - first }, (_, i) => {
        const at = (first + i) * rowsPerMicroBatch;
        return [...order.subarray(at, at + rowsPerMicroBatch)];
      });
    },
    epochsAfter: (step) => epochOf(step) + endOf(step) / microBatchesPerEpoch,
  };
}

/** Fisher–Yates from the job's seed. Each epoch has its own stream, so that it can be computed without the others. */
function orderOfEpoch(
  rowCount: number,
  random: { readonly seed: number; readonly epoch: number } | null,
): Uint32Array {
  const order = new Uint32Array(rowCount);
  for (let row = 0; row < rowCount; row++) order[row] = row;
  if (random === null) return order;
  const prng = pcg32(random.seed, ORDER_STREAM + BigInt(random.epoch));
  for (let i = rowCount - 1; i > 0; i--) {
    // The modulo's bias is below rows / 2^32: negligible for any dataset that fits into memory.
    const j = prng.uint32() % (i + 1);
    const row = order[i]!;
    order[i] = order[j]!;
    order[j] = row;
  }
  return order;
}

/** Steps (1-based) after which a checkpoint is written, the last one included. Not a list: a job may have millions. */
export interface CheckpointSteps {
  includes(step: number): boolean;
}

export interface PlannedCheckpoints extends CheckpointSteps {
  /** Whether a checkpoint is written after any of these steps, both inclusive. */
  includesAny(first: number, last: number): boolean;
}

/**
 * "epoch": the last step of each epoch. "steps": every `save_steps` steps; below 1 it is a share of all steps, rounded up; 0 means
 * never (`TrainerState.compute_steps` and `DefaultFlowCallback` of transformers).
 */
export function checkpointSteps(
  plan: Pick<ShardPlan, "totalSteps" | "stepsPerEpoch">,
  training: Pick<TrainingSpec, "save_strategy" | "save_steps">,
): PlannedCheckpoints {
  const { totalSteps, stepsPerEpoch } = plan;
  const { save_strategy: strategy, save_steps: saveSteps } = training;
  const every = strategy === "no"
    ? 0
    : strategy === "epoch"
    ? stepsPerEpoch
    : saveSteps < 1
    ? Math.ceil(totalSteps * saveSteps)
    : saveSteps;
  /** Due in the first `step` steps. */
  const dueUntil = (step: number) => every === 0 ? 0 : Math.floor(step / every);
  const includesAny = (first: number, last: number) =>
    first <= last && first >= 1 && last <= totalSteps &&
    (last === totalSteps || dueUntil(last) > dueUntil(first - 1));
  return {
    includesAny,
    // A share of a step is never due: 5 is with 2.5, 2 is not.
    includes: (step) => includesAny(step, step) && (step === totalSteps || step % every === 0),
  };
}
