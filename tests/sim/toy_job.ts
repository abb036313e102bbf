/** A job for the toy engine: small, and with a result that depends on every micro-batch having been counted once. */
import type { PlannedJob } from "../../coordinator/planning/planned_job.ts";
import type { EvaluationPlan } from "../../coordinator/planning/schedule/evaluation_plan.ts";
import { localPlanOf } from "../../coordinator/planning/schedule/local_plan.ts";
import type { z } from "zod";
import { parseJobRequest } from "../../coordinator/job_request/parse.ts";
import type { fleetSchema } from "../../shared/job/job_spec_schema.ts";
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";

export interface ToyJobOptions {
  /** With local steps: data steps. */
  readonly totalSteps: number;
  readonly microBatchesPerStep: number;
  readonly checkpointEvery: number;
  readonly fleet?: z.input<typeof fleetSchema>;
  /** Micro-batches that are evaluated, and after which steps. */
  readonly evaluation?: {
    readonly microBatchCount: number;
    readonly every: number;
    readonly onStart?: boolean;
  };
  /** Further fields of the request's `training`. */
  readonly training?: Record<string, unknown>;
}

export function createToyJob(
  { totalSteps: totalDataSteps, microBatchesPerStep, checkpointEvery, fleet = {}, evaluation, training = {} }:
    ToyJobOptions,
): PlannedJob {
  const { spec } = parseJobRequest({
    model: "toy",
    training_file: "file-toy",
    seed: 7,
    lora: { r: 4, target_modules: ["q_proj"] },
    fleet,
    ...evaluation === undefined ? {} : { validation_file: "file-valid" },
    training: {
      learning_rate: 0.01,
      warmup_ratio: 0,
      lr_scheduler_type: "constant",
      gradient_accumulation_steps: microBatchesPerStep,
      ...training,
    },
  });
  const local = localPlanOf(spec, totalDataSteps, () => microBatchesPerStep);
  const totalSteps = local?.totalSteps ?? totalDataSteps;
  const checkpointSteps = Array.from({ length: totalSteps }, (_, i) => i + 1)
    .filter((step) => step % checkpointEvery === 0 || step === totalSteps);
  return {
    id: "ftjob-sim",
    spec,
    specHash: "spec",
    model: { hash: "0".repeat(64), files: [{ name: "config.json", size: 1, sha256: "1".repeat(64) }] },
    modelFolder: "/models/toy",
    totalSteps,
    checkpointSteps,
    maxTokensPerMicroBatch: 4,
    maxPositions: 4,
    epochsAfter: (step) => step / totalSteps,
    microBatchesOf: (step) =>
      Array.from(
        { length: microBatchesPerStep },
        (_, index) => toyBatch((step - 1) * microBatchesPerStep + index),
      ),
    tokensThrough: (dataStep) => 4 * microBatchesPerStep * dataStep,
    linesOf: (step, index) => [(step - 1) * microBatchesPerStep + index + 1],
    local,
    evaluation: evaluation === undefined ? null : toyEvaluation(evaluation, totalSteps),
  };
}

function toyEvaluation(
  { microBatchCount, every, onStart = false }: NonNullable<ToyJobOptions["evaluation"]>,
  totalSteps: number,
): EvaluationPlan {
  return {
    steps: { includes: (step) => step === 0 ? onStart : step % every === 0 || step === totalSteps },
    microBatchCount,
    microBatchAt: (index) => toyBatch(10_000 + index),
    maxTokens: 4,
  };
}

/** Tokens of its own for each micro-batch. */
function toyBatch(number: number): MicroBatch {
  const tokens = Uint32Array.from({ length: 4 }, (_, i) => 10 * number + i);
  return {
    tokens,
    labels: Int32Array.from(tokens, (token) => token + 1),
    positions: Uint32Array.of(0, 1, 2, 3),
    segmentStarts: new Uint32Array(4),
  };
}
