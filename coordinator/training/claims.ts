/** Claims of micro-batches: each is counted once; a gradient that exceeds its exponents ends the attempt. */
import { decodeFloats } from "../../shared/protocol/messages_codec.ts";
import type { Verdict } from "../../shared/protocol/messages_coordinator.ts";
import type { MicroBatchReport } from "../../shared/protocol/messages_worker.ts";
import { firstMisfit, firstNonFinite } from "../../shared/protocol/exponents.ts";
import { claimMicroBatch, totalsOf } from "./state/ledger.ts";
import { decideAuditReport, withAuditBegun } from "./audits.ts";
import { blame } from "./blame/strikes.ts";
import { announced, type Decision, failJob, isOfAttempt, unchanged } from "./decision.ts";
import { type StepEffect, warning } from "./state/effects.ts";
import { notFinite, settled } from "./non_finite.ts";
import { digestKindOf } from "./state/digest_kind.ts";
import { shownExponents } from "./state/exponents.ts";
import type { StepContext } from "./state/plan.ts";
import { NO_HEDGES, slowestWith, type Training } from "./state/training.ts";

export function decideClaim(context: StepContext, training: Training, report: MicroBatchReport): Decision {
  const { worker, claim, index, lossSum, labelCount, correctCount, computeMs } = report;
  if (report.audit !== null) return decideAuditReport(context, training, report);
  const answer = (verdict: Verdict): StepEffect => ({ type: "verdict", verdict });
  const isRepeated = training.phase === "reduce" && training.ledger.entries[index]?.claim === claim;
  if (!isOfAttempt(training, report) || (training.phase !== "compute" && !isRepeated)) {
    return unchanged(training, `the claim of ${worker} is of an attempt that is over`, [answer("stale")]);
  }
  const maxAbs = decodeFloats(report.maxAbs);
  if (training.layout !== null && maxAbs.length !== training.layout.tensorCount) {
    const reason = `${worker} reports ${maxAbs.length} maxima of ${training.layout.tensorCount} tensors`;
    return unchanged(training, reason, [answer("unknown")]);
  }
  if (training.ledger.entries[index] === undefined) {
    return unchanged(training, `there is no micro-batch ${index}`, [answer("unknown")]);
  }
  if (lossSum === null || firstNonFinite(maxAbs) !== -1) return notFinite(training, report);
  const entry = { worker, claim, lossSum, labelCount, correctCount, maxAbs };
  const { ledger, verdict, reason } = claimMicroBatch(training.ledger, index, entry);
  if (ledger === training.ledger) return unchanged(training, reason, [answer(verdict)]);

  const tried = (training.nonFinite.get(index) ?? []).map(({ worker }) => worker);
  const wrong = [...new Set(tried)].filter((other) => other !== worker);
  const warnings = wrong.map((other) =>
    warning(`${other} computed a gradient of micro-batch ${index} that is not finite; that of ${worker} is.`)
  );
  const where = `micro-batch ${index} of step ${training.step}`;
  const why = `its gradient of ${where} is not finite, that of ${worker} is`;
  const blamed = blame(training, wrong, why, context.limits);
  const counted: Training = {
    ...settled(blamed.training, index),
    ...{ ledger, slowestMs: slowestWith(training, computeMs), progressAt: context.now, hedges: NO_HEDGES },
  };
  const effects = [answer(verdict), ...warnings, ...blamed.effects];
  return unchanged(withAuditBegun(context.plan, counted, report), reason, effects);
}

/** Every micro-batch is counted or excluded: begins the round, or a new attempt if a sum might overflow. */
export function beginRound(context: StepContext, training: Training): Decision {
  const { plan, now, limits } = context;
  const { ledger } = training;
  const { maxAbs, labelCount } = totalsOf(ledger);
  const count = ledger.entries.length;
  if (labelCount === 0) {
    return failJob(training, "aborted", `step ${training.step} has no token that counts in the loss`);
  }
  const misfit = training.exponents === null ? 0 : firstMisfit(maxAbs, training.exponents, count);
  if (misfit === -1) {
    const digestKind = digestKindOf(context, training);
    return announced(training, { phase: "reduce", since: now, digestKind }, "all micro-batches are settled");
  }
  const exponents = shownExponents({ plan, limits }, training, maxAbs);
  const reason = training.exponents === null
    ? "the step's largest gradients are known now"
    : `the gradient of tensor ${misfit} is ${maxAbs[misfit]}, more than its exponent allows`;
  return announced(training, { phase: "waiting", since: now, exponents }, reason);
}

/**
 * In an attempt without exponents the first micro-batch shows the maxima; which worker computes it does not matter. Null while it
 * is not counted, or if it shows nothing: then all of them are computed for it.
 */
export function endProbe({ plan, now, limits }: StepContext, training: Training): Decision | null {
  const first = training.ledger.entries[0] ?? null;
  if (training.exponents !== null || first === null) return null;
  if (training.audits.get(0)?.status === "open" || !first.maxAbs.some((max) => max > 0)) return null;
  const exponents = shownExponents({ plan, limits }, training, first.maxAbs);
  return announced(
    training,
    { phase: "waiting", since: now, exponents },
    `the first micro-batch of step ${training.step} has shown how large its gradients are`,
  );
}
