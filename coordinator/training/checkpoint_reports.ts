/** What becomes of a checkpoint: it is stored, it fails and is retried or abandoned, or it is damaged later. */
import { STATE_FILE_NAME } from "../../shared/protocol/state/checkpoint_format.ts";
import type { CheckpointReport } from "../../shared/protocol/messages_worker.ts";
import {
  checkpointFailureEvents,
  chooseCheckpointWriter,
  isAbandoned,
  nextCheckpointWriter,
  withCheckpointFailure,
} from "./checkpoints.ts";
import { nextStep } from "./commits.ts";
import { abortAttempt, type Decision, unchanged } from "./decision.ts";
import { warning } from "./state/effects.ts";
import type { StepContext } from "./state/plan.ts";
import { liveHolders, NO_CHECKPOINT_FAILURES, type Training } from "./state/training.ts";

export function decideCheckpoint(
  context: StepContext,
  training: Training,
  report: CheckpointReport,
): Decision {
  const { worker, step, outcome } = report;
  const { phase, committed, checkpointWriter } = training;
  if (phase !== "checkpoint" || step !== committed?.step || worker !== checkpointWriter) {
    return unchanged(training, `${worker} reports a checkpoint that is not awaited`);
  }
  if (outcome.type === "failed") {
    return decideCheckpointFailure(context, training, worker, `${worker}: ${outcome.reason}`, false);
  }
  const hasState = outcome.files.some(({ name }) => name === STATE_FILE_NAME);
  const stored = hasState ? { ...training, storedStep: step } : training;
  return nextStep(context, stored, [{ type: "checkpointed", report }]);
}

/** @param isSuspect true if the worker was silent, which earns a strike; a full disk does not */
export function decideCheckpointFailure(
  context: StepContext,
  training: Training,
  worker: string,
  why: string,
  isSuspect: boolean,
): Decision {
  const failed = withCheckpointFailure(training, worker, why, isSuspect);
  if (!isAbandoned(context, failed)) return nextCheckpointWriter(context, failed, why);
  const { committed, checkpointAttempts } = failed;
  const message = `Training goes on without the checkpoint of step ${committed!.step}: it could not be ` +
    `stored in ${checkpointAttempts} attempts.`;
  return nextStep(context, failed, [
    ...checkpointFailureEvents(failed, why, context.limits),
    warning(message),
  ]);
}

/** The newest commit's stored adapter is damaged: a worker that still holds the state writes it again. */
export function decideDamaged(context: StepContext, training: Training, step: number): Decision {
  const { phase, committed } = training;
  const isHeld = committed?.step === step && (phase === "compute" || phase === "reduce") &&
    liveHolders(training).length > 0;
  if (!isHeld) return unchanged(training, `no worker holds step ${step} any more, or it is being written`);
  const why = `the stored adapter of step ${step} is damaged and is written again`;
  const aborted = abortAttempt(context, training, why, []);
  const anew = { ...aborted.training, ...NO_CHECKPOINT_FAILURES, notBefore: context.now };
  return chooseCheckpointWriter(anew, aborted.effects, context.now);
}
