/**
 * Between a commit and its checkpoint: the validation rows are evaluated on the committed state by every worker that holds it. No
 * attempt is under way meanwhile, so an evaluation cannot change what is trained; a worker that dies costs the micro-batch in its
 * hands.
 */
import type { EvaluationReport } from "../../shared/protocol/messages_worker.ts";
import { microBatchWaitMs } from "../../shared/protocol/limits.ts";
import { describeRule, isExhausted, withEvaluation } from "../planning/evaluation/selection.ts";
import { blame } from "./blame/strikes.ts";
import { type Decision, unchanged } from "./decision.ts";
import { afterEvaluation } from "./commits.ts";
import { type StepEffect, warning } from "./state/effects.ts";
import type { StepContext } from "./state/plan.ts";
import { liveHolders, type Training } from "./state/training.ts";
import { restartIfLost } from "./waiting.ts";
import {
  type EvaluationProgress,
  isDone,
  nextPositions,
  openPositions,
  totalOf,
  withResult,
} from "./state/evaluation_progress.ts";

/** A step whose rows come back from no worker so often, each time after a long wait, is left without an evaluation. */
const MAX_STALLS = 3;

export function decideEvaluation(
  context: StepContext,
  training: Training,
  report: EvaluationReport,
): Decision {
  const { worker, incarnation, term, step, index, outcome } = report;
  const { evaluation: progress, committed } = training;
  const isOver = training.phase !== "evaluate" || term !== training.term || step !== committed?.step;
  if (isOver || progress === null || progress.results[index] === undefined) {
    return unchanged(training, `the evaluation that ${worker} reports is over`);
  }
  const isHolder = liveHolders(training).some((member) =>
    member.worker === worker && member.incarnation === incarnation
  );
  // The item is acknowledged, but nothing vouches for the state that it was computed on.
  if (!isHolder) {
    return again(training, progress, [index], `${worker} does not hold the state of step ${step}`);
  }
  const where = `micro-batch ${index} of the rows to evaluate after step ${step}`;
  if (outcome.type === "failed") {
    const blamed = blame(training, [worker], `${where}: ${outcome.reason}`, context.limits);
    const reason = `${worker} cannot compute ${where}: ${outcome.reason}`;
    const effects = [warning(`${reason}.`), ...blamed.effects];
    const failed = new Set(progress.failed).add(incarnation);
    if (liveHolders(blamed.training).every((member) => failed.has(member.incarnation))) {
      const given = giveUp(context, blamed.training, "no worker can compute it");
      return { ...given, effects: [...effects, ...given.effects] };
    }
    return again(blamed.training, { ...progress, failed }, [index], reason, effects);
  }
  const taken = withResult(progress, { worker, index, ...outcome }, context.now);
  switch (taken.verdict) {
    case "known":
      return unchanged(training, `${where} is evaluated already`);
    case "again": {
      const reason = `the loss of ${where} is not finite on ${worker}: it is computed once more`;
      return again(training, taken.progress, [index], reason);
    }
    case "taken":
      return counted(context, training, taken.progress, `${where} is evaluated by ${worker}`);
  }
}

function counted(
  context: StepContext,
  training: Training,
  progress: EvaluationProgress,
  reason: string,
): Decision {
  if (isDone(progress)) return finish(context, training, progress);
  const indices = nextPositions(progress);
  const evaluation = { ...progress, handedOut: progress.handedOut + indices.length };
  const effects: StepEffect[] = indices.length === 0
    ? []
    : [{ type: "enqueueEvaluation", step: training.committed!.step, indices, time: 0, purge: false }];
  return unchanged({ ...training, evaluation }, reason, effects);
}

function finish(context: StepContext, training: Training, progress: EvaluationProgress): Decision {
  const { now, plan } = context;
  const { rule } = plan.evaluation!;
  const { step } = training.committed!;
  const total = totalOf(progress, step);
  const selection = withEvaluation(rule, training.selection, total);
  const report = {
    ...total,
    best: selection.best,
    seconds: (now - progress.startedAt) / 1000,
    workerCount: progress.workers.size,
  };
  const effects: StepEffect[] = [{ type: "evaluated", report }];
  const evaluated: Training = { ...training, evaluation: null, selection };
  if (step === 0 || step >= plan.totalSteps || !isExhausted(rule, selection)) {
    return afterEvaluation(context, evaluated, effects);
  }
  const best = selection.best === null
    ? "none was finite"
    : `the best is that of step ${selection.best.step}`;
  const message = `Training ends early after step ${step}: ${describeRule(rule)} has not improved in ` +
    `${selection.withoutImprovement} evaluations in a row (training.early_stopping_patience); ${best}.`;
  return afterEvaluation(context, { ...evaluated, lastStep: step }, [
    ...effects,
    { type: "event", level: "info", message },
  ]);
}

/** Hands micro-batches out once more. */
function again(
  training: Training,
  progress: EvaluationProgress,
  indices: readonly number[],
  reason: string,
  effects: readonly StepEffect[] = [],
  purge = false,
): Decision {
  const time = progress.requeues + 1;
  const { step } = training.committed!;
  return unchanged({ ...training, evaluation: { ...progress, requeues: time } }, reason, [
    ...effects,
    { type: "enqueueEvaluation", step, indices, time, purge },
  ]);
}

/** The fleet has changed: what those that are gone had in hand is handed out again. Null if nothing changes. */
export function regroupEvaluation(training: Training, before: Training): Decision | null {
  const { evaluation: progress } = training;
  if (progress === null) return null;
  const present = new Set(liveHolders(training).map(({ incarnation }) => incarnation));
  const gone = liveHolders(before).filter(({ incarnation }) => !present.has(incarnation));
  if (gone.length === 0 || present.size === 0) return null;
  const inHand = positionsInHand(training);
  const indices = openPositions(progress).filter((index) => !inHand.has(index));
  const names = gone.map(({ worker }) => worker).join(", ");
  return again(training, progress, indices, `without ${names} the others evaluate on`, [], true);
}

/** What a tick finds overdue. */
export function overdueEvaluation(context: StepContext, training: Training): Decision | null {
  const { now } = context;
  const { evaluation: progress, stateLostAt } = training;
  if (progress === null) return null;
  if (liveHolders(training).length === 0) {
    if (stateLostAt !== null) return restartIfLost(context, training, stateLostAt);
    const message = `No worker holds the state of step ${
      training.committed!.step
    }: its evaluation waits for one.`;
    return unchanged({ ...training, stateLostAt: now }, "no worker can evaluate", [warning(message)]);
  }
  // Those that came back have nothing in hand.
  if (stateLostAt !== null) {
    const returned = { ...training, stateLostAt: null };
    return again(
      returned,
      { ...progress, progressAt: now },
      openPositions(progress),
      "a worker is back",
      [],
      true,
    );
  }
  return stalled(context, training, progress) ?? hedged(context, training, progress);
}

/** The last micro-batches also go to idle workers: their holders may be slow or stopped. The first result is taken. */
function hedged(
  { now, limits }: StepContext,
  training: Training,
  progress: EvaluationProgress,
): Decision | null {
  const left = openPositions(progress);
  const { slowestMs, progressAt, hedges } = progress;
  const workers = liveHolders(training).length;
  if (slowestMs === null || left.length === 0 || left.length > workers) return null;
  const waitMs = Math.max(limits.hedgeMs, slowestMs * limits.hedgeFactor) * 2 ** hedges;
  if (positionsInHand(training).size >= workers || now - progressAt < waitMs) return null;
  return again(training, { ...progress, hedges: hedges + 1 }, left, "the last rows are handed out once more");
}

/** Nothing has come back for long: everything is handed out again, and at last the step is left without an evaluation. */
function stalled(context: StepContext, training: Training, progress: EvaluationProgress): Decision | null {
  const { now, limits } = context;
  const waitMs = microBatchWaitMs(progress.slowestMs ?? training.slowestMs, limits);
  if (now - progress.progressAt < waitMs) return null;
  const seconds = Math.round(waitMs / 1000);
  if (progress.stalls + 1 < MAX_STALLS) {
    const waiting = { ...progress, progressAt: now, stalls: progress.stalls + 1 };
    const reason = `no row was evaluated for ${seconds} s: they are handed out again`;
    return again(training, waiting, openPositions(progress), reason, [], true);
  }
  return giveUp(
    context,
    training,
    `no worker has evaluated a row for ${seconds} s, ${MAX_STALLS} times in a row`,
  );
}

/** Training goes on without this evaluation. */
export function giveUp(context: StepContext, training: Training, why: string): Decision {
  const message = `Step ${training.committed!.step} is left without an evaluation: ${why}.`;
  return afterEvaluation(context, { ...training, evaluation: null }, [warning(message)]);
}

/** The rows could not be put on the queue. */
export function decideNotHandedOut(
  context: StepContext,
  training: Training,
  step: number,
  reason: string,
): Decision {
  if (training.phase !== "evaluate" || training.committed?.step !== step) {
    return unchanged(training, "an evaluation that is over could not be handed out");
  }
  return giveUp(context, training, reason);
}

/** Positions that workers with the committed state report to compute now. */
function positionsInHand(training: Training): Set<number> {
  const { step } = training.committed!;
  return new Set(
    liveHolders(training).flatMap(({ busy }) =>
      busy !== null && busy.attempt === 0 && busy.step === step ? [busy.index] : []
    ),
  );
}
