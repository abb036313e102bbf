/**
 * Gradients that are not finite: is the sample or the worker at fault? A different worker is asked. If its gradient is finite, the
 * first worker gets a strike (claims.ts); if not, the micro-batch is excluded from its step (decision 0012).
 */
import { maxExcludedOfJob, maxExcludedOfStep } from "../../shared/protocol/limits.ts";
import type { MicroBatchReport } from "../../shared/protocol/messages_worker.ts";
import { excludeMicroBatch } from "./state/ledger.ts";
import { announced, type Decision, failJob, sentence, unchanged } from "./decision.ts";
import { type StepEffect, warning } from "./state/effects.ts";
import { assignmentFor, leastAsked, withAssignment, withoutAssignments } from "./state/assignments.ts";
import type { StepContext } from "./state/plan.ts";
import type { NonFinite, Training } from "./state/training.ts";

/** Tries that decide if there is no further worker to ask. */
const TRIES_WITHOUT_OTHERS = 2;

/** Records a gradient that is not finite; `settleNonFinite` decides what follows. */
export function notFinite(training: Training, { worker, claim, index }: MicroBatchReport): Decision {
  const effects: StepEffect[] = [{ type: "verdict", verdict: "duplicate" }];
  const reason =
    `micro-batch ${index} of step ${training.step} gives a gradient that is not finite on ${worker}`;
  const rechecks = training.nonFinite.get(index) ?? [];
  // A finite gradient may be counted already; a report may come twice.
  const isKnown = training.ledger.entries[index] !== null || training.ledger.excluded.has(index) ||
    rechecks.some((recheck) => recheck.worker === worker && recheck.claim === claim);
  if (isKnown) return unchanged(training, reason, effects);
  const nonFinite = new Map(training.nonFinite).set(index, [...rechecks, { worker, claim }]);
  const answered = withoutAssignments(
    training,
    (one) => one.index === index && one.worker === worker && one.purpose === "claim",
  );
  return unchanged({ ...answered, nonFinite }, reason, effects);
}

/** The next micro-batch that needs one more try or has enough of them; null if there is none. */
export function settleNonFinite(context: StepContext, training: Training): Decision | null {
  const members = training.members.map(({ worker }) => worker);
  for (const [index, rechecks] of training.nonFinite) {
    const tried = new Set(rechecks.map(({ worker }) => worker));
    const untried = members.filter((worker) => !tried.has(worker));
    const isAsked = assignmentFor(training, index, "claim") !== undefined;
    // After two workers a third one is not waited for: it may be stuck.
    const isSettled = tried.size > 1 ||
      (!isAsked && untried.length === 0 && rechecks.length >= TRIES_WITHOUT_OTHERS);
    if (isSettled) return exclude(context, training, index, [...tried].sort());
    if (isAsked) continue;
    const worker = leastAsked(training, untried.length > 0 ? untried : members, index);
    if (worker !== null) return recheck(training, index, rechecks, worker);
  }
  return null;
}

/** The micro-batch is counted or excluded: no worker needs to try it any more. */
export function settled(training: Training, index: number): Training {
  const nonFinite = new Map(training.nonFinite);
  nonFinite.delete(index);
  const rest = withoutAssignments(training, (one) => one.index === index && one.purpose === "claim");
  return { ...rest, nonFinite };
}

function recheck(
  training: Training,
  index: number,
  rechecks: readonly NonFinite[],
  worker: string,
): Decision {
  const reason = `micro-batch ${index} of step ${training.step} gives a gradient that is not finite on ` +
    `${rechecks.at(-1)!.worker}; ${worker} tries it again`;
  const asked = withAssignment(training, { index, worker, purpose: "claim" });
  return announced(asked, {}, reason, [warning(sentence(reason))]);
}

function exclude(
  { plan, now, limits }: StepContext,
  training: Training,
  index: number,
  workers: readonly string[],
): Decision {
  const { step } = training;
  const ledger = excludeMicroBatch(training.ledger, index, workers);
  const excluded: Training = { ...settled(training, index), ledger, progressAt: now };
  const effects: StepEffect[] = [{ type: "excluded", step, index, workers }];
  const [ofStep, ofAll] = [ledger.excluded.size, ledger.entries.length];
  const ofJob = (training.committed?.excludedTotal ?? 0) + ofStep;
  const names = workers.join(", ");
  const fail = (what: string) => {
    const message =
      `${what} a loss or a gradient that is not finite (micro-batch ${index} of step ${step} was ` +
      `tried by ${names}): lower training.learning_rate, or look at the rows that are quarantined`;
    return failJob(excluded, "gpu_failure", message, effects, "training.learning_rate");
  };
  if (ofStep === ofAll || ofStep > maxExcludedOfStep(ofAll, limits)) {
    return fail(`${ofStep} of ${ofAll} micro-batches of step ${step} give`);
  }
  if (ofJob > maxExcludedOfJob(ofAll * plan.totalSteps, limits)) {
    return fail(`${ofJob} micro-batches of the first ${step} of ${plan.totalSteps} steps give`);
  }
  const reason = `micro-batch ${index} of step ${step} is excluded: it is not finite on ${names}`;
  return unchanged(excluded, reason, effects);
}
