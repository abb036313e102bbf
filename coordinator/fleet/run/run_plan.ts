/** The part of a planned job that the decisions of a run need. */
import { isAudited } from "../../training/audit_choice.ts";
import type { TrainingPlan } from "../../training/state/plan.ts";
import type { TrainingRunOptions } from "./run_context.ts";

export function trainingPlanOf(
  { job, startId, checkKey, layout }: Pick<TrainingRunOptions, "job" | "startId" | "checkKey" | "layout">,
  microBatchCountOf: (step: number) => number,
): TrainingPlan {
  const { seed, training, fleet } = job.spec;
  return {
    jobId: job.id,
    startId,
    specHash: job.specHash,
    totalSteps: job.totalSteps,
    checkpointSteps: job.checkpointSteps,
    schedule: training,
    microBatchCountOf,
    local: job.local ?? null,
    isAudited: (step, index) => isAudited(seed, step, index, fleet.audit_rate),
    failsUnresolved: fleet.audit_unresolved === "fail",
    gradientCodec: fleet.gradient_codec,
    checkKey,
    layout,
  };
}
