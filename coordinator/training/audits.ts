/**
 * Audits: a second worker with the same GPU recomputes some of the counted micro-batches, and the digests of the gradients' bits
 * are compared (decision 0012).
 *
 *     two equal digests                       passed
 *     two different digests                   a third worker is asked, and so on until two agree: the others are wrong
 *     different, and no worker left to ask    each is asked again: one that contradicts itself is wrong
 *     each repeats its digest                 unresolved: the job fails, or the audit is skipped (`fleet.audit_unresolved`)
 *     no other worker with this GPU, or late  skipped
 *     the auditor's gradient is not finite    a strike for the auditor, and a different worker is asked
 *
 * A wrong worker is quarantined, and regroup redoes what is in its sums. An auditor adds its gradient to no sums.
 */
import { auditWaitMs } from "../../shared/protocol/limits.ts";
import { firstNonFinite } from "../../shared/protocol/exponents.ts";
import { decodeFloats } from "../../shared/protocol/messages_codec.ts";
import type { Assignment, AuditCounts } from "../../shared/protocol/messages_coordinator.ts";
import type { MicroBatchReport } from "../../shared/protocol/messages_worker.ts";
import { isComplete } from "./state/ledger.ts";
import { blame, quarantine } from "./blame/strikes.ts";
import { announced, type Decision, failJob, isOfAttempt, sentence, unchanged } from "./decision.ts";
import { type StepEffect, warning } from "./state/effects.ts";
import { leastAsked, withAssignment, withoutAssignments } from "./state/assignments.ts";
import { type Audit, type Recheck, slowestWith, type Training } from "./state/training.ts";
import type { StepContext, TrainingPlan } from "./state/plan.ts";

/** The digest of a report that lacks one where it is due: it agrees with none. */
const NO_DIGEST = "none";

/** The training after a micro-batch was counted: with an audit of it if it is chosen for one. */
export function withAuditBegun(plan: TrainingPlan, training: Training, report: MicroBatchReport): Training {
  const { index, worker, gradientCheck: check } = report;
  if (!plan.isAudited(training.step, index)) return training;
  const recheck: Recheck = { worker, digest: digestOf(training, report), again: null, check };
  return withAudit(training, index, { status: "open", rechecks: [recheck], notFinite: [] });
}

/** Records an auditor's digest; `settleAudits` decides what follows. */
export function decideAuditReport(
  context: StepContext,
  training: Training,
  report: MicroBatchReport,
): Decision {
  const { worker, index, audit: id, gradientCheck: check, computeMs } = report;
  const digest = digestOf(training, report);
  const answer: StepEffect = { type: "verdict", verdict: "duplicate" };
  const isAssignment = (assignment: Assignment) =>
    assignment.id === id && assignment.worker === worker && assignment.index === index &&
    assignment.purpose === "audit";
  const audit = training.audits.get(index);
  const isAsked = training.phase === "compute" && isOfAttempt(training, report) &&
    training.assignments.some(isAssignment) && audit?.status === "open";
  if (!isAsked) return unchanged(training, `no audit is awaited from ${worker}`, [answer]);
  const isSecond = audit.rechecks.some((recheck) => recheck.worker === worker);
  const rechecks = isSecond
    ? audit.rechecks.map((recheck) => recheck.worker === worker ? { ...recheck, again: digest } : recheck)
    : [...audit.rechecks, { worker, digest, again: null, check }];
  const answered: Training = {
    ...withoutAssignments(training, isAssignment),
    ...{ slowestMs: slowestWith(training, computeMs), progressAt: context.now },
  };
  if (isSecond || isFiniteReport(report)) {
    const audited = withAudit(answered, index, { ...audit, rechecks });
    return unchanged(audited, `${worker} audited micro-batch ${index}`, [answer]);
  }
  // The counted gradient is finite, so the auditor is wrong (as in claims.ts).
  const heard = withAudit(answered, index, { ...audit, notFinite: [...audit.notFinite, worker] });
  const why = `its gradient of micro-batch ${index} of step ${training.step} is not finite, that of ${
    audit.rechecks[0]!.worker
  } is`;
  const blamed = blame(heard, [worker], why, context.limits);
  const message = `${worker} audited micro-batch ${index}, and ${why}.`;
  return unchanged(blamed.training, message, [answer, warning(message), ...blamed.effects]);
}

function isFiniteReport({ lossSum, maxAbs }: MicroBatchReport): boolean {
  return lossSum !== null && firstNonFinite(decodeFloats(maxAbs)) === -1;
}

/** Covers the gradient's bits and the integers that it adds, so that a worker cannot add a different gradient unnoticed. */
function digestOf({ exponents }: Training, { gradientDigest, gradientCheck }: MicroBatchReport): string {
  if (gradientDigest === null || (exponents !== null && gradientCheck === null)) return NO_DIGEST;
  return gradientCheck === null ? gradientDigest : `${gradientDigest} ${gradientCheck}`;
}

/** Decides the next audit that waits for no answer, or asks a worker for it; null if there is none. */
export function settleAudits(plan: TrainingPlan, training: Training): Decision | null {
  const asked = new Set(
    training.assignments.filter(({ purpose }) => purpose === "audit").map(({ index }) => index),
  );
  for (const [index, audit] of training.audits) {
    if (audit.status === "open" && !asked.has(index)) return settle(plan, training, index, audit);
  }
  return null;
}

export function hasOpenAudits({ audits }: Training): boolean {
  return audits.values().some(({ status }) => status === "open");
}

function settle(plan: TrainingPlan, training: Training, index: number, audit: Audit): Decision {
  const { rechecks } = audit;
  const where = `micro-batch ${index} of step ${training.step}`;
  const reported = rechecks.filter(({ digest }) => digest !== NO_DIGEST);
  const agreed = Map.groupBy(reported, ({ digest }) => digest).values().find((group) => group.length > 1);
  if (agreed !== undefined) {
    const right = agreed[0]!.digest;
    const names = agreed.map(({ worker }) => worker).join(" and ");
    const odd = rechecks.filter(({ digest }) => digest !== right);
    const passed = withAudit(training, index, { ...audit, status: "passed" });
    const reasonOf = ({ digest }: Recheck) =>
      `its gradient of ${where} has the digest ${short(digest)}, but ${names} agree on ${short(right)}`;
    return foundWrong(passed, odd, reasonOf);
  }
  const contradictory = rechecks.filter(({ digest, again }) => again !== null && again !== digest);
  if (contradictory.length > 0) {
    const rest = rechecks.filter((recheck) => !contradictory.includes(recheck));
    // The remaining one has repeated its digest, or is asked again.
    const isSettled = rest.length === 1 && rest[0]!.again !== null;
    const status = isSettled ? "passed" : "open";
    const next = rest.length === 0
      ? training
      : withAudit(training, index, { ...audit, status, rechecks: rest });
    const reasonOf = ({ digest, again }: Recheck) =>
      `it computed ${where} twice, with the digests ${short(digest)} and ${short(again!)}`;
    return foundWrong(next, contradictory, reasonOf);
  }
  const auditor = leastAsked(training, othersLike(training, audit), index);
  if (auditor !== null) return ask(training, index, auditor, `${auditor} audits ${where}`);
  if (rechecks.length === 1) {
    const skipped = withAudit(training, index, { ...audit, status: "skipped" });
    const reason = `no other worker has the GPU of ${rechecks[0]!.worker}: ${where} is not audited`;
    return unchanged(skipped, reason);
  }
  const isPresent = ({ worker }: Recheck) => training.members.some((member) => member.worker === worker);
  const unasked = rechecks.find((recheck) => recheck.again === null && isPresent(recheck));
  if (unasked === undefined) return unresolved(plan, training, index, audit, where);
  return ask(training, index, unasked.worker, `${unasked.worker} is asked again for ${where}`);
}

/** Members with the GPU of the worker that has the micro-batch in its sums, without those that have reported on it. */
function othersLike({ fleet, members }: Training, { rechecks, notFinite }: Audit): readonly string[] {
  const gpuOf = new Map(fleet.members.map(({ worker, gpu }) => [worker, gpu]));
  const gpu = gpuOf.get(rechecks[0]!.worker);
  return members.map(({ worker }) => worker).filter((worker) =>
    gpuOf.get(worker) === gpu && !notFinite.includes(worker) &&
    !rechecks.some((recheck) => recheck.worker === worker)
  );
}

function ask(training: Training, index: number, worker: string, reason: string): Decision {
  return announced(withAssignment(training, { index, worker, purpose: "audit" }), {}, reason);
}

/** The following regroup announces the change (step.ts). */
function foundWrong(
  training: Training,
  odd: readonly Recheck[],
  reasonOf: (odd: Recheck) => string,
): Decision {
  let next: Training = { ...training, failedAudits: training.failedAudits + odd.length };
  const effects: StepEffect[] = [];
  for (const recheck of odd) {
    const blamed = quarantine(next, recheck.worker, [reasonOf(recheck)], "reinstated");
    next = blamed.training;
    effects.push(...blamed.effects);
  }
  return unchanged(next, odd.length === 0 ? "the audit is passed" : odd.map(reasonOf).join("; "), effects);
}

function unresolved(
  plan: TrainingPlan,
  training: Training,
  index: number,
  audit: Audit,
  where: string,
): Decision {
  const digests = audit.rechecks.map(({ worker, digest }) => `${worker} has ${short(digest)}`).join(", ");
  const isCertain = audit.rechecks.every(({ again }) => again !== null);
  const message = `${where} has different bits on machines that describe their GPU alike (${digests}), ` +
    (isCertain ? "each the same when asked again" : "and not all of them are still members") +
    ": one of them is wrong, or their drivers differ; which is right cannot be decided";
  if (isCertain && plan.failsUnresolved) {
    const remedy = `add a third worker with this GPU, or set fleet.audit_unresolved to "continue"`;
    return failJob(training, "gpu_failure", `${message}; ${remedy}`);
  }
  const skipped = withAudit(training, index, { ...audit, status: "skipped" });
  return unchanged(skipped, message, [{ type: "event", level: "error", message: sentence(message) }]);
}

/** Skips overdue audits once all is counted, with a strike for each worker that was asked; null before. */
export function skipLateAudits({ now, limits }: StepContext, training: Training): Decision | null {
  const waitMs = auditWaitMs(training.slowestMs, limits);
  const quietSince = Math.max(training.progressAt, training.workedAt);
  if (!hasOpenAudits(training) || !isComplete(training.ledger) || now - quietSince < waitMs) return null;
  const isOpen = (index: number) => training.audits.get(index)?.status === "open";
  const late = training.assignments.filter(({ purpose, index }) => purpose === "audit" && isOpen(index));
  const names = [...new Set(late.map(({ worker }) => worker))].join(", ");
  const seconds = Math.round(waitMs / 1000);
  const why = `step ${training.step}: it did not compute an audit in ${seconds} s`;
  const blamed = blame(training, late.map(({ worker }) => worker), why, limits);
  const audits = new Map(training.audits);
  for (const [index, audit] of audits) {
    if (audit.status === "open") audits.set(index, { ...audit, status: "skipped" });
  }
  const message = `Audits of step ${training.step} are skipped: nothing came from ${names} in ${seconds} s.`;
  const skipped = withoutAssignments({ ...blamed.training, audits }, ({ purpose }) => purpose === "audit");
  return unchanged(skipped, message, [warning(message), ...blamed.effects]);
}

/** Audits of the job so far, the attempt that is being committed included. */
export function auditTotals({ committed, audits, failedAudits }: Training): AuditCounts {
  const before = committed?.audits ?? { passed: 0, failed: 0, skipped: 0 };
  const countOf = (wanted: Audit["status"]) =>
    [...audits.values()].filter(({ status }) => status === wanted).length;
  return {
    passed: before.passed + countOf("passed"),
    failed: before.failed + failedAudits,
    skipped: before.skipped + countOf("skipped"),
  };
}

function withAudit(training: Training, index: number, audit: Audit): Training {
  return { ...training, audits: new Map(training.audits).set(index, audit) };
}

function short(digest: string): string {
  return digest.slice(0, 12);
}
