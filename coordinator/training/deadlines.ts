/** What a tick finds overdue, by phase. */
import { checkpointWaitMs, microBatchWaitMs, roundWaitMs } from "../../shared/protocol/limits.ts";
import { skipLateAudits } from "./audits.ts";
import { decideCheckpointFailure } from "./checkpoint_reports.ts";
import { checkpointCandidate, chooseCheckpointWriter } from "./checkpoints.ts";
import { abortAttempt, type Decision, unchanged } from "./decision.ts";
import { overdueEvaluation } from "./evaluations.ts";
import { hedge } from "./regroup.ts";
import type { StepContext } from "./state/plan.ts";
import { gradientBytesOf, type Training } from "./state/training.ts";
import { restartIfLost } from "./waiting.ts";

export function decideTick(context: StepContext, training: Training): Decision {
  return overdue(context, training) ?? unchanged(training, "nothing is due");
}

function overdue(context: StepContext, training: Training): Decision | null {
  switch (training.phase) {
    case "compute":
      return hedge(context, training) ?? skipLateAudits(context, training) ?? stalled(context, training);
    case "reduce":
      return lateRound(context, training);
    case "evaluate":
      return overdueEvaluation(context, training);
    case "checkpoint":
      return lateCheckpoint(context, training);
    default:
      return null;
  }
}

function stalled(context: StepContext, training: Training): Decision | null {
  const waitMs = microBatchWaitMs(training.slowestMs, context.limits);
  if (context.now - Math.max(training.progressAt, training.workedAt) < waitMs) return null;
  return abortAttempt(context, training, `no micro-batch was counted for ${seconds(waitMs)} s`, []);
}

/** Workers give up after `roundWaitMs` and name those they waited for; a worker without a report by now is the suspect. */
function lateRound(context: StepContext, training: Training): Decision | null {
  const { now, limits } = context;
  const waitMs = roundWaitMs(gradientBytesOf(training), limits) + limits.transferBaseMs;
  if (now - training.since < waitMs) return null;
  const members = training.members.map(({ worker }) => worker);
  const silent = members.filter((worker) => !training.updates.has(worker));
  const why = `${silent.join(", ")} did not finish the all-reduce in ${seconds(waitMs)} s`;
  return abortAttempt(context, training, why, silent);
}

function lateCheckpoint(context: StepContext, training: Training): Decision | null {
  const { now, limits } = context;
  const { checkpointWriter: writer, since } = training;
  if (writer === null) {
    if (checkpointCandidate(training, now) !== null) return chooseCheckpointWriter(training, [], now);
    return restartIfLost(context, training, since);
  }
  const waitMs = checkpointWaitMs(gradientBytesOf(training), limits);
  if (now - since < waitMs) return null;
  const why = `${writer} did not store the adapter in ${seconds(waitMs)} s`;
  return decideCheckpointFailure(context, training, writer, why, true);
}

function seconds(milliseconds: number): number {
  return Math.round(milliseconds / 1000);
}
