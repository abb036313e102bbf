/**
 * How a job with local steps is dealt out (decision 0011): pure, and the same after every restart. The shard plan's steps are
 * called data steps here. An outer step takes the next K·H of them and deals them to K replicas like cards: replica r gets every
 * K-th, from the r-th on, and makes an inner step of each. So each data step is done once, and the inner loops of a shorter last
 * outer step differ by at most one inner step.
 */
import type { JobSpec, TrainingSpec } from "../../../shared/job/job_spec_schema.ts";
import type { InnerLoop } from "../../../shared/protocol/inner_loop_codec.ts";
import { learningRateAt } from "./schedule.ts";
import { updateBound } from "./update_bound.ts";
import type { CheckpointSteps, PlannedCheckpoints } from "./shard_plan.ts";

/** Data steps of an outer step, both inclusive. */
interface DataSteps {
  readonly first: number;
  readonly last: number;
}

export interface LocalPlan {
  /** Outer steps. */
  readonly totalSteps: number;
  readonly totalDataSteps: number;
  /** Of an outer step, from 1, as everywhere below. */
  dataStepsOf(step: number): DataSteps;
  /** The outer step of a data step. */
  stepOf(dataStep: number): number;
  /** One for each replica; fewer in a last step with few data steps. */
  innerLoopsOf(step: number): readonly InnerLoop[];
  /** Of the step's longest inner loop. */
  innerStepsOf(step: number): number;
  /** Of the step's last inner step. */
  learningRateOf(step: number): number;
  /** Bound on the elements of a pseudo-gradient, up to rounding; Infinity if there is none (update_bound.ts). */
  updateBoundOf(step: number): number;
}

/** Null for a job without local steps. */
export function localPlanOf(
  { training, fleet }: Pick<JobSpec, "training"> & { readonly fleet: Pick<JobSpec["fleet"], "local_steps"> },
  totalDataSteps: number,
  microBatchCountOf: (dataStep: number) => number,
): LocalPlan | null {
  if (fleet.local_steps === null) return null;
  const { inner_steps: longest, replicas } = fleet.local_steps;
  const perStep = longest * replicas;
  const totalSteps = Math.ceil(totalDataSteps / perStep);
  const dataStepsOf = (step: number): DataSteps => ({
    first: (step - 1) * perStep + 1,
    last: Math.min(step * perStep, totalDataSteps),
  });
  const innerStepsOf = (step: number): number => {
    const { first, last } = dataStepsOf(step);
    return Math.ceil((last - first + 1) / replicas);
  };
  const totalInnerSteps = (totalSteps - 1) * longest + innerStepsOf(totalSteps);
  /** The same for all replicas. */
  const rateOf = (step: number, innerStep: number): number =>
    learningRateAt((step - 1) * longest + innerStep + 1, totalInnerSteps, training);
  const ratesOf = (step: number): number[] =>
    Array.from({ length: innerStepsOf(step) }, (_, innerStep) => rateOf(step, innerStep));

  return {
    totalSteps,
    totalDataSteps,
    dataStepsOf,
    stepOf: (dataStep) => Math.ceil(dataStep / perStep),
    innerLoopsOf(step) {
      const { first, last } = dataStepsOf(step);
      return Array.from({ length: Math.min(replicas, last - first + 1) }, (_, replica) => ({
        innerSteps: Array.from(
          { length: Math.floor((last - first - replica) / replicas) + 1 },
          (_, innerStep) => {
            const dataStep = first + innerStep * replicas + replica;
            return {
              number: firstNumberOf(dataStep, training),
              microBatchCount: microBatchCountOf(dataStep),
              learningRate: rateOf(step, innerStep),
            };
          },
        ),
      }));
    },
    innerStepsOf,
    learningRateOf: (step) => ratesOf(step).at(-1)!,
    updateBoundOf: (step) => updateBound(ratesOf(step), training),
  };
}

type Accumulation = Pick<TrainingSpec, "gradient_accumulation_steps">;

/** Job-wide number of a data step's first micro-batch. */
export function firstNumberOf(
  dataStep: number,
  { gradient_accumulation_steps: perStep }: Accumulation,
): number {
  return (dataStep - 1) * perStep;
}

/** The data step of a micro-batch, and its position in it. */
export function placeOfNumber(
  number: number,
  { gradient_accumulation_steps: perStep }: Accumulation,
): { readonly dataStep: number; readonly index: number } {
  return { dataStep: Math.floor(number / perStep) + 1, index: number % perStep };
}

/** Outer steps with a data step after which a checkpoint is due. */
export function outerCheckpointSteps(dataSteps: PlannedCheckpoints, local: LocalPlan): CheckpointSteps {
  return {
    includes(step) {
      const { first, last } = local.dataStepsOf(step);
      return dataSteps.includesAny(first, last);
    },
  };
}

/** What a step's report adds. */
export function localReportOf(local: LocalPlan, step: number) {
  return {
    innerSteps: local.innerStepsOf(step),
    dataStep: local.dataStepsOf(step).last,
    totalDataSteps: local.totalDataSteps,
  };
}

/** For the user: what a step is from here on, since `training.max_steps` and others count data steps. */
export function describeLocal(
  { totalSteps, totalDataSteps }: LocalPlan,
  { fleet, training }: Pick<JobSpec, "fleet" | "training">,
): string {
  const { inner_steps: inner, replicas } = fleet.local_steps!;
  return `Local steps: ${totalDataSteps} data steps of up to ${training.gradient_accumulation_steps} micro-batches make ` +
    `${totalSteps} outer steps of up to ${replicas} replicas with up to ${inner} inner steps each.`;
}

/** One sentence each. */
export function localWarnings({ totalSteps }: LocalPlan, { fleet }: Pick<JobSpec, "fleet">): string[] {
  const { outer_momentum: momentum } = fleet.local_steps!;
  // A change has an effect for about this many outer steps.
  const horizon = Math.round(1 / (1 - momentum));
  if (momentum === 0 || totalSteps >= horizon) return [];
  return [
    `fleet.local_steps.outer_momentum is ${momentum}, which needs about ${horizon} outer steps to come to rest, and the ` +
    `job has ${totalSteps}: lower inner_steps or replicas, or take the replicas' mean as it is (outer_momentum 0, ` +
    `outer_learning_rate 1).`,
  ];
}
