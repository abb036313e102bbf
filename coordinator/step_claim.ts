/** Claims of micro-batches: each is counted once, and what does not fit or is not finite ends the attempt or the job. */
import type { Limits } from "../shared/limits.ts";
import { decodeFloats, type MicroBatchReport } from "../shared/messages.ts";
import { exponentsFrom, firstMisfit, firstNonFinite } from "../shared/exponents.ts";
import { claimMicroBatch, isComplete, type Ledger, totalsOf } from "./ledger.ts";
import {
  announced,
  failJob,
  isOfAttempt,
  requeue,
  sentence,
  unchanged,
  withStrikes,
} from "./step_decision.ts";
import type { StepDecision, StepEffect } from "./step_decision.ts";
import { NO_HEDGES, type Training } from "./step_state.ts";

/** So many gradients of one micro-batch that are not finite fail the job, also where nobody else is there to try it. */
const OPINIONS_WITHOUT_OTHERS = 2;
/** And so many where others are there, but the same worker gets it again and again. */
const MOST_OPINIONS = 6;

export function decideClaim(
  training: Training,
  report: MicroBatchReport,
  now: number,
  limits: Limits,
): StepDecision {
  const { worker, claim, index, lossSum, targetCount, computeMs } = report;
  const answer = (verdict: "counted" | "duplicate" | "stale" | "unknown"): StepEffect => ({
    type: "verdict",
    verdict,
  });
  const isAskedAgain = training.phase === "reduce" && training.ledger.entries[index]?.claim === claim;
  if (!isOfAttempt(training, report) || (training.phase !== "compute" && !isAskedAgain)) {
    return unchanged(training, `the claim of ${worker} is of an attempt that is over`, [answer("stale")]);
  }
  const maxAbs = decodeFloats(report.maxAbs);
  if (training.layout !== null && maxAbs.length !== training.layout.tensorCount) {
    const reason = `${worker} tells ${maxAbs.length} maxima of ${training.layout.tensorCount} tensors`;
    return unchanged(training, reason, [answer("unknown")]);
  }
  if (training.ledger.entries[index] === undefined) {
    return unchanged(training, `there is no micro-batch ${index}`, [answer("unknown")]);
  }
  if (lossSum === null || firstNonFinite(maxAbs) !== -1) {
    return anotherOpinion(training, report);
  }
  const { ledger, verdict, reason } = claimMicroBatch(training.ledger, index, {
    worker,
    claim,
    lossSum,
    targetCount,
    maxAbs,
  });
  if (ledger === training.ledger) return unchanged(training, reason, [answer(verdict)]);

  const effects: StepEffect[] = [answer(verdict)];
  const blamed = new Set((training.nonFinite.get(index) ?? []).filter((other) => other !== worker));
  for (const other of blamed) {
    effects.push({
      type: "event",
      level: "warn",
      message:
        `${other} computed a gradient of micro-batch ${index} that is not finite; that of ${worker} is.`,
    });
  }
  const strikes = withStrikes(training, blamed);
  const slowestMs = Math.max(training.slowestMs ?? 0, computeMs);
  const counted: Training = { ...training, ledger, slowestMs, strikes, progressAt: now, hedges: NO_HEDGES };
  if (!isComplete(ledger)) return unchanged(counted, reason, effects);
  return afterLast(counted, ledger, effects, now, limits);
}

/** All micro-batches are counted: the round begins, unless a sum might have overflowed. */
function afterLast(
  training: Training,
  ledger: Ledger,
  effects: StepEffect[],
  now: number,
  limits: Limits,
): StepDecision {
  const { maxAbs, targetCount } = totalsOf(ledger);
  const count = ledger.entries.length;
  if (targetCount === 0) {
    const message = `step ${training.step} has no token that counts in the loss`;
    return failJob(training, "aborted", message, effects);
  }
  const misfit = training.exponents === null ? 0 : firstMisfit(maxAbs, training.exponents, count);
  if (misfit === -1) {
    return announced(training, { phase: "reduce", since: now }, "all micro-batches are counted", effects);
  }
  const exponents = exponentsFrom(maxAbs, count, limits.exponentHeadroomBits);
  const reason = training.exponents === null
    ? "the step's largest gradients are known now"
    : `the gradient of tensor ${misfit} is ${maxAbs[misfit]}, more than its exponent allows`;
  return announced(training, { phase: "waiting", since: now, exponents }, reason, effects);
}

/** A gradient that is not finite: the sample's fault, or the worker's? Somebody else tries it. */
function anotherOpinion(training: Training, report: MicroBatchReport): StepDecision {
  const { worker, index } = report;
  const entry = training.ledger.entries[index];
  const effects: StepEffect[] = [{ type: "verdict", verdict: "duplicate" }];
  const reason =
    `micro-batch ${index} of step ${training.step} gives a gradient that is not finite on ${worker}`;
  // Somebody's finite gradient is counted already.
  if (entry !== null) return unchanged(training, reason, effects);
  const opinions = [...training.nonFinite.get(index) ?? [], worker];
  const isAlone = training.members.length === 1;
  const isSettled = new Set(opinions).size > 1 ||
    opinions.length >= (isAlone ? OPINIONS_WITHOUT_OTHERS : MOST_OPINIONS);
  if (isSettled) {
    const message =
      `micro-batch ${index} of step ${training.step} gives a loss or a gradient that is not finite ` +
      `(tried by ${
        [...new Set(opinions)].join(", ")
      }): lower training.learning_rate or look at the rows of this step`;
    return failJob(training, "gpu_failure", message, effects);
  }
  const again = requeue(training, [index], { purge: false });
  return unchanged(
    { ...again.training, nonFinite: new Map(training.nonFinite).set(index, opinions) },
    reason,
    [
      ...effects,
      { type: "event", level: "warn", message: sentence(`${reason}; it is tried again`) },
      again.effect,
    ],
  );
}
