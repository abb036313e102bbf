/** What a job's observer learns of a committed step. */
import { localReportOf } from "../../planning/schedule/local_plan.ts";
import { tokenCountOf } from "../../planning/token_count.ts";
import type { StepEffect } from "../../training/state/effects.ts";
import { learningRateOf } from "../../training/state/exponents.ts";
import type { TrainingPlan } from "../../training/state/plan.ts";
import type { PlannedJob } from "../../planning/planned_job.ts";
import type { StepReport } from "../fleet.ts";

type Committed = Extract<StepEffect, { type: "committed" }>;

export function stepReportOf(
  job: PlannedJob,
  plan: TrainingPlan,
  { entry, seconds, attemptSeconds }: Committed,
  gradientBytesSent: number,
): StepReport {
  const { step, attempt, digest, maxAbs, labelCount, correctCount, excluded, audits } = entry;
  const { local = null } = job;
  return {
    ...{
      step,
      attempt,
      digest,
      maxAbs,
      labelCount,
      seconds,
      attemptSeconds,
      excluded,
      audits,
      gradientBytesSent,
    },
    workerCount: entry.members.length,
    epoch: job.epochsAfter(step),
    loss: entry.loss!,
    tokenAccuracy: correctCount === undefined || job.spec.training.label_smoothing_factor !== undefined
      ? null
      : correctCount / labelCount,
    learningRate: learningRateOf(plan, step),
    gradientNorm: entry.gradientNorm!,
    tokenCount: tokenCountOf(job, step, excluded.map(({ index }) => index)),
    ...local === null ? {} : { local: localReportOf(local, step) },
  };
}
