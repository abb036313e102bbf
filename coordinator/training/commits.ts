/** After a commit: its evaluation and its checkpoint if they are due, then the next step, or the end of the job. */
import { decodeFloats } from "../../shared/protocol/messages_codec.ts";
import type { CommitEntry } from "../../shared/protocol/messages_coordinator.ts";
import { isExhausted, NO_SELECTION, selectionOf } from "../planning/evaluation/selection.ts";
import type { Evaluated } from "../planning/evaluation/selection.ts";
import { newProgress, openPositions } from "./state/evaluation_progress.ts";
import { chooseCheckpointWriter } from "./checkpoints.ts";
import { announced, type Decision, unchanged } from "./decision.ts";
import type { StepEffect } from "./state/effects.ts";
import { firstExponents } from "./state/exponents.ts";
import type { StepContext } from "./state/plan.ts";
import { lastStepOf, NEW_STEP, NO_CHECKPOINT_FAILURES, type Training } from "./state/training.ts";

/** The pending commit is in the log. */
export function decideStored(context: StepContext, training: Training, sequence: number): Decision {
  const { now } = context;
  const entry = training.pending;
  if (training.phase !== "commit" || entry === null) return unchanged(training, "no commit was on its way");
  const committed: Training = {
    ...training,
    ...{ committed: entry, sequence, pending: null, failedAudits: 0, notWaitedFor: new Set() },
    holders: new Set(training.members.map(({ incarnation }) => incarnation)),
  };
  if (entry.step === 0) {
    return beginEvaluation(context, committed, []) ?? afterEvaluation(context, committed, []);
  }
  const seconds = (now - training.stepStartedAt) / 1000;
  const attemptSeconds = (now - training.attemptStartedAt) / 1000;
  const effects: StepEffect[] = [{ type: "committed", entry, seconds, attemptSeconds }];
  return beginEvaluation(context, committed, effects) ?? afterEvaluation(context, committed, effects);
}

/** Begins the evaluation of the committed state; null if none is due. */
function beginEvaluation(
  { plan, now }: StepContext,
  training: Training,
  effects: readonly StepEffect[],
): Decision | null {
  const { step } = training.committed!;
  const { evaluation = null } = plan;
  if (evaluation === null || !evaluation.steps.includes(step)) return null;
  const progress = newProgress(evaluation.microBatchCount, now);
  const change: Partial<Training> = {
    ...{ phase: "evaluate", since: now, members: [], weights: [], stateLostAt: null },
    evaluation: progress,
  };
  const handOut = { step, indices: openPositions(progress), time: 0, purge: false };
  const reason = `the rows to evaluate after step ${step} are handed out`;
  return announced(training, change, reason, [...effects, { type: "enqueueEvaluation", ...handOut }]);
}

/** The evaluation of the newest commit is over, or none was due. */
export function afterEvaluation(
  context: StepContext,
  training: Training,
  effects: readonly StepEffect[],
): Decision {
  const { plan, now } = context;
  const { step } = training.committed!;
  if (step === 0) {
    return announced(training, { phase: "waiting", since: now }, "the initial adapter is agreed on", effects);
  }
  if (!plan.checkpointSteps.includes(step) && step !== training.lastStep) {
    return nextStep(context, training, effects);
  }
  const begun = { ...training, ...NO_CHECKPOINT_FAILURES, notBefore: now };
  return chooseCheckpointWriter(begun, effects, now);
}

/**
 * Continues after the newest commit of a log that an earlier run wrote.
 * @param fresh the training of a start from the beginning
 * @param stored whether that step's adapter (if a checkpoint is due) and its training state are stored
 * @param evaluations outcomes on record
 */
export function resume(
  context: StepContext,
  fresh: Training,
  { entry, sequence }: { readonly sequence: number; readonly entry: CommitEntry },
  stored: { readonly adapter: boolean; readonly state: boolean },
  evaluations: readonly Evaluated[] = [],
): Decision {
  const { plan, now } = context;
  const { evaluation = null } = plan;
  const selection = evaluation === null
    ? NO_SELECTION
    : selectionOf(evaluation.rule, evaluations, entry.step);
  const isStopped = evaluation !== null && entry.step > 0 && isExhausted(evaluation.rule, selection);
  const training: Training = {
    ...{ ...fresh, committed: entry, sequence, step: Math.max(1, entry.step), selection },
    storedStep: stored.state ? entry.step : null,
    lastStep: isStopped ? entry.step : null,
  };
  const isEvaluated = evaluations.some(({ step }) => step === entry.step);
  const begun = isEvaluated ? null : beginEvaluation(context, training, []);
  if (begun !== null) return begun;
  if (entry.step === 0) return unchanged(training, "continues after step 0");
  if ((isStopped || plan.checkpointSteps.includes(entry.step)) && !stored.adapter) {
    return chooseCheckpointWriter(training, [], now);
  }
  return nextStep(context, training, []);
}

/** The next step, before its first attempt, or the end of the job. */
export function nextStep(
  { plan, now, limits }: StepContext,
  training: Training,
  effects: readonly StepEffect[],
): Decision {
  const entry = training.committed!;
  if (entry.step >= lastStepOf(plan, training)) {
    const end = { phase: "done", since: now, members: [], weights: [] } as const;
    return announced(training, end, "the last step is committed", [...effects, { type: "done" }]);
  }
  const step = entry.step + 1;
  const maxAbs = decodeFloats(entry.maxAbs);
  const exponents = firstExponents(plan, step, maxAbs, maxAbs.length, limits);
  const change = { ...NEW_STEP, step, since: now, stepStartedAt: now, notBefore: now, exponents };
  return announced(training, change, `step ${entry.step} is committed`, effects);
}
