/**
 * Gradients that are not finite: the sample's fault, or the worker's? Another worker is asked. Finite there, and the first one
 * gets a strike (claims.ts); not finite there, too, and the micro-batch is excluded from its step (decision 0012).
 */
import type { DecisionContext } from "./state/context.ts";
import { maxExcludedOfJob, maxExcludedOfStep } from "../../shared/protocol/limits.ts";
import type { MicroBatchReport } from "../../shared/protocol/messages_worker.ts";
import { excludeMicroBatch } from "./state/ledger.ts";
import { announced, failJob, sentence, type StepDecision, unchanged } from "./decision.ts";
import type { StepEffect } from "./state/effects.ts";
import { assignmentFor, leastAsked, withAssignment, withoutAssignments } from "./state/assignments.ts";
import type { NonFinite, Training } from "./state/training.ts";

/** So many rechecks decide where nobody else is there to give one. */
const OPINIONS_WITHOUT_OTHERS = 2;

/** Takes note of a gradient that is not finite. What follows is for `settleNonFinite`. */
export function notFinite(training: Training, report: MicroBatchReport): StepDecision {
  const { worker, claim, index } = report;
  const effects: StepEffect[] = [{ type: "verdict", verdict: "duplicate" }];
  const reason =
    `micro-batch ${index} of step ${training.step} gives a gradient that is not finite on ${worker}`;
  const rechecks = training.nonFinite.get(index) ?? [];
  // Somebody's finite gradient may be counted already; a report may come twice.
  const isKnown = training.ledger.entries[index] !== null || training.ledger.excluded.has(index) ||
    rechecks.some((recheck) => recheck.worker === worker && recheck.claim === claim);
  if (isKnown) return unchanged(training, reason, effects);
  const nonFinite = new Map(training.nonFinite).set(index, [...rechecks, { worker, claim }]);
  const answered = withoutAssignments(
    training,
    (assignment) =>
      assignment.index === index && assignment.worker === worker && assignment.purpose === "claim",
  );
  return unchanged({ ...answered, nonFinite }, reason, effects);
}

/** The next micro-batch that needs one more recheck or has enough of them; null where there is none. */
export function settleNonFinite(context: DecisionContext, training: Training): StepDecision | null {
  for (const [index, rechecks] of training.nonFinite) {
    const tried = new Set(rechecks.map(({ worker }) => worker));
    const untried = training.members.map(({ worker }) => worker).filter((worker) => !tried.has(worker));
    const isAsked = assignmentFor(training, index, "claim") !== undefined;
    // Two have said so: whoever else is asked may be stuck, and is not waited for.
    const isSettled = tried.size > 1 ||
      (!isAsked && untried.length === 0 && rechecks.length >= OPINIONS_WITHOUT_OTHERS);
    if (isSettled) return exclude(context, training, index, [...tried].sort());
    if (isAsked) continue;
    const others = untried.length > 0 ? untried : training.members.map(({ worker }) => worker);
    const worker = leastAsked(training, others, index);
    if (worker !== null) return anotherOpinion(training, index, rechecks, worker);
  }
  return null;
}

function anotherOpinion(
  training: Training,
  index: number,
  rechecks: readonly NonFinite[],
  worker: string,
): StepDecision {
  const reason = `micro-batch ${index} of step ${training.step} gives a gradient that is not finite on ` +
    `${rechecks.at(-1)!.worker}; ${worker} tries it again`;
  const asked = withAssignment(training, { index, worker, purpose: "claim" });
  return announced(asked, {}, reason, [{ type: "event", level: "warn", message: sentence(reason) }]);
}

function exclude(
  context: DecisionContext,
  training: Training,
  index: number,
  workers: readonly string[],
): StepDecision {
  const { plan, now, limits } = context;
  const { step } = training;
  const ledger = excludeMicroBatch(training.ledger, index, workers);
  const nonFinite = new Map(training.nonFinite);
  nonFinite.delete(index);
  const answered = withoutAssignments(
    training,
    (assignment) => assignment.index === index && assignment.purpose === "claim",
  );
  const excluded: Training = { ...answered, ledger, nonFinite, progressAt: now };
  const effects: StepEffect[] = [{ type: "excluded", step, index, workers }];
  const [ofStep, ofAll] = [ledger.excluded.size, ledger.entries.length];
  const ofJob = (training.committed?.excludedTotal ?? 0) + ofStep;
  const fail = (what: string) =>
    failJob(
      excluded,
      "gpu_failure",
      `${what} a loss or a gradient that is not finite (micro-batch ${index} of step ${step} was tried by ` +
        `${workers.join(", ")}): lower training.learning_rate, or look at the rows that are quarantined`,
      effects,
    );
  if (ofStep === ofAll || ofStep > maxExcludedOfStep(ofAll, limits)) {
    return fail(`${ofStep} of ${ofAll} micro-batches of step ${step} give`);
  }
  if (ofJob > maxExcludedOfJob(ofAll * plan.totalSteps, limits)) {
    return fail(`${ofJob} micro-batches of the first ${step} of ${plan.totalSteps} steps give`);
  }
  const reason = `micro-batch ${index} of step ${step} is excluded: it is not finite on ${
    workers.join(", ")
  }`;
  return unchanged(excluded, reason, effects);
}
