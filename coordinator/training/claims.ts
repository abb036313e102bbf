/** Claims of micro-batches: each is counted once, and what does not fit ends the attempt. */
import type { DecisionContext } from "./state/context.ts";
import { decodeFloats } from "../../shared/protocol/messages_codec.ts";
import type { MicroBatchReport } from "../../shared/protocol/messages_worker.ts";
import { exponentsFrom, firstMisfit, firstNonFinite } from "../../shared/exponents.ts";
import { claimMicroBatch, totalsOf } from "./state/ledger.ts";
import { decideAuditReport, withAuditBegun } from "./audits.ts";
import { blame } from "./blame/strikes.ts";
import { announced, failJob, isOfAttempt, unchanged } from "./decision.ts";
import type { StepDecision } from "./decision.ts";
import type { StepEffect } from "./state/effects.ts";
import { notFinite } from "./non_finite.ts";
import { withoutAssignments } from "./state/assignments.ts";
import { NO_HEDGES, slowestWith, type Training } from "./state/training.ts";

export function decideClaim(
  context: DecisionContext,
  training: Training,
  report: MicroBatchReport,
): StepDecision {
  const { plan, now, limits } = context;
  const { worker, claim, index, lossSum, labelCount, computeMs } = report;
  if (report.audit !== null) return decideAuditReport(context, training, report);
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
    return notFinite(training, report);
  }
  const { ledger, verdict, reason } = claimMicroBatch(training.ledger, index, {
    worker,
    claim,
    lossSum,
    labelCount,
    maxAbs,
  });
  if (ledger === training.ledger) return unchanged(training, reason, [answer(verdict)]);

  const effects: StepEffect[] = [answer(verdict)];
  const rechecks = (training.nonFinite.get(index) ?? []).map(({ worker }) => worker);
  const wrong = new Set(rechecks.filter((other) => other !== worker));
  for (const other of wrong) {
    effects.push({
      type: "event",
      level: "warn",
      message:
        `${other} computed a gradient of micro-batch ${index} that is not finite; that of ${worker} is.`,
    });
  }
  const where = `micro-batch ${index} of step ${training.step}`;
  const blamed = blame(
    training,
    wrong,
    `its gradient of ${where} is not finite, that of ${worker} is`,
    limits,
  );
  const nonFinite = new Map(training.nonFinite);
  nonFinite.delete(index);
  const answered = withoutAssignments(
    blamed.training,
    (assignment) => assignment.index === index && assignment.purpose === "claim",
  );
  const slowestMs = slowestWith(training, computeMs);
  const counted: Training = {
    ...{ ...answered, ledger, nonFinite, slowestMs },
    ...{ progressAt: now, hedges: NO_HEDGES },
  };
  return unchanged(withAuditBegun(plan, counted, report), reason, [...effects, ...blamed.effects]);
}

/** Every micro-batch is counted or excluded: the round begins, unless a sum might have overflowed. */
export function beginRound(context: DecisionContext, training: Training): StepDecision {
  const { now, limits } = context;
  const { ledger } = training;
  const { maxAbs, labelCount } = totalsOf(ledger);
  const count = ledger.entries.length;
  if (labelCount === 0) {
    const message = `step ${training.step} has no token that counts in the loss`;
    return failJob(training, "aborted", message);
  }
  const misfit = training.exponents === null ? 0 : firstMisfit(maxAbs, training.exponents, count);
  if (misfit === -1) {
    return announced(training, { phase: "reduce", since: now }, "all micro-batches are settled");
  }
  const exponents = exponentsFrom(maxAbs, count, limits.exponentHeadroomBits);
  const reason = training.exponents === null
    ? "the step's largest gradients are known now"
    : `the gradient of tensor ${misfit} is ${maxAbs[misfit]}, more than its exponent allows`;
  return announced(training, { phase: "waiting", since: now, exponents }, reason);
}
