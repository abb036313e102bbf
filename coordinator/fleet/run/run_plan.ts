/** The part of a planned job that the decisions of a run need. */
import { createHash } from "node:crypto";
import { selectionRuleOf } from "../../planning/evaluation/selection.ts";
import type { TrainingPlan } from "../../training/state/plan.ts";
import type { TrainingRunOptions } from "./run_context.ts";

export function trainingPlanOf(
  { job, startId, checkKey, layout }: Pick<TrainingRunOptions, "job" | "startId" | "checkKey" | "layout">,
  microBatchCountOf: (step: number) => number,
): TrainingPlan {
  const { seed, training, fleet } = job.spec;
  const { specHash, totalSteps, checkpointSteps, local = null, evaluation = null, halvedAfter = null } = job;
  return {
    ...{
      jobId: job.id,
      startId,
      specHash,
      totalSteps,
      checkpointSteps,
      microBatchCountOf,
      local,
      halvedAfter,
      checkKey,
      layout,
    },
    evaluation: evaluation === null ? null : {
      steps: evaluation.steps,
      microBatchCount: evaluation.microBatchCount,
      rule: selectionRuleOf(training),
    },
    schedule: training,
    isAudited: (step, index) => isAudited(seed, step, index, fleet.audit_rate),
    failsUnresolved: fleet.audit_unresolved === "fail",
    gradientCodec: fleet.gradient_codec,
  };
}

/**
 * Whether a micro-batch is audited: drawn by a hash, so that every attempt and every coordinator draws the same.
 * @param rate the share that is audited, 0 to 1
 */
export function isAudited(seed: number, step: number, index: number, rate: number): boolean {
  if (rate === 0) return false;
  const hash = createHash("sha256").update(`audit ${seed} ${step} ${index}`).digest();
  return hash.readUInt32BE(0) < rate * 2 ** 32;
}
