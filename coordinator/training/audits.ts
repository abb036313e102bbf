/**
 * Audits: some of the counted micro-batches are computed by a second worker with the same GPU, and the digests of the gradients'
 * bits compared (decision 0012).
 *
 *     two digests that are equal             passed
 *     two that differ                        a third worker is asked, and so on until two agree: the others are wrong
 *     two that differ, nobody else to ask    each is asked again: who contradicts itself is wrong
 *     each says the same again               unresolved: the job fails, or counts it as skipped (`fleet.audit_unresolved`)
 *     nobody with the same GPU, no answer    skipped
 *     the auditor's is not finite            a strike for the auditor, and another one is asked
 *
 * Who is wrong is in quarantine: regroup does again what was in its sums. An audited gradient is added to nobody's sums.
 */
import type { DecisionContext } from "./state/context.ts";
import { auditWaitMs, type Limits } from "../../shared/protocol/limits.ts";
import { firstNonFinite } from "../../shared/exponents.ts";
import { decodeFloats } from "../../shared/protocol/messages_codec.ts";
import type { AuditCounts } from "../../shared/protocol/messages_coordinator.ts";
import type { MicroBatchReport } from "../../shared/protocol/messages_worker.ts";
import { isComplete } from "./state/ledger.ts";
import { blame, quarantine } from "./blame/strikes.ts";
import { announced, failJob, isOfAttempt, sentence, type StepDecision, unchanged } from "./decision.ts";
import type { StepEffect } from "./state/effects.ts";
import { leastAsked, withAssignment, withoutAssignments } from "./state/assignments.ts";
import { type Audit, type Recheck, slowestWith, type Training } from "./state/training.ts";
import type { TrainingPlan } from "./state/plan.ts";

/** What a worker says that tells no digest where one is due: it agrees with nobody's. */
const NO_DIGEST = "none";

/** A micro-batch was counted: whether it is audited. */
export function withAuditBegun(plan: TrainingPlan, training: Training, report: MicroBatchReport): Training {
  const { index, worker, gradientCheck: check } = report;
  if (!plan.isAudited(training.step, index)) return training;
  const recheck: Recheck = { worker, digest: digestOf(training, report), again: null, check };
  return withAudit(training, index, { status: "open", rechecks: [recheck], notFinite: [] });
}

/** An auditor's digest. What follows is for `settleAudits`. */
export function decideAuditReport(
  context: DecisionContext,
  training: Training,
  report: MicroBatchReport,
): StepDecision {
  const { now, limits } = context;
  const { worker, index, audit: id, gradientCheck: check, computeMs } = report;
  const digest = digestOf(training, report);
  const answer: readonly StepEffect[] = [{ type: "verdict", verdict: "duplicate" }];
  const isAssignment = (assignment: Training["assignments"][number]) =>
    assignment.id === id && assignment.worker === worker && assignment.index === index &&
    assignment.purpose === "audit";
  const audit = training.audits.get(index);
  const isAsked = training.phase === "compute" && isOfAttempt(training, report) &&
    training.assignments.some(isAssignment) && audit?.status === "open";
  if (!isAsked) return unchanged(training, `nobody waits for this audit of ${worker}`, answer);
  const isSecond = audit.rechecks.some((recheck) => recheck.worker === worker);
  const rechecks = isSecond
    ? audit.rechecks.map((recheck) => recheck.worker === worker ? { ...recheck, again: digest } : recheck)
    : [...audit.rechecks, { worker, digest, again: null, check }];
  const slowestMs = slowestWith(training, computeMs);
  const answered: Training = { ...withoutAssignments(training, isAssignment), slowestMs, progressAt: now };
  if (!isSecond && !isFiniteReport(report)) {
    return auditorNotFinite(answered, index, audit, worker, answer, limits);
  }
  const reason = `${worker} has audited micro-batch ${index}`;
  return unchanged(withAudit(answered, index, { ...audit, rechecks }), reason, answer);
}

/** Of the gradient's bits, and of the integers that it adds: who computes one and adds another differs in the second. */
function digestOf({ exponents }: Training, { gradientDigest, gradientCheck }: MicroBatchReport): string {
  if (gradientDigest === null || (exponents !== null && gradientCheck === null)) return NO_DIGEST;
  return gradientCheck === null ? gradientDigest : `${gradientDigest} ${gradientCheck}`;
}

function isFiniteReport({ lossSum, maxAbs }: MicroBatchReport): boolean {
  return lossSum !== null && firstNonFinite(decodeFloats(maxAbs)) === -1;
}

/** As for claims (claims.ts): the counted gradient is finite, so that it is known who is wrong. */
function auditorNotFinite(
  training: Training,
  index: number,
  audit: Audit,
  worker: string,
  answer: readonly StepEffect[],
  limits: Limits,
): StepDecision {
  const heard = withAudit(training, index, { ...audit, notFinite: [...audit.notFinite, worker] });
  const other = audit.rechecks[0]!.worker;
  const why =
    `its gradient of micro-batch ${index} of step ${training.step} is not finite, that of ${other} is`;
  const blamed = blame(heard, [worker], why, limits);
  const message = `${worker} audited micro-batch ${index}, and ${why}.`;
  return unchanged(blamed.training, message, [
    ...answer,
    { type: "event", level: "warn", message },
    ...blamed.effects,
  ]);
}

/** The next audit that is decided or that somebody is to be asked for; null where all is settled or waited for. */
export function settleAudits(plan: TrainingPlan, training: Training): StepDecision | null {
  const asked = new Set(
    training.assignments.filter(({ purpose }) => purpose === "audit").map(({ index }) => index),
  );
  for (const [index, audit] of training.audits) {
    if (audit.status === "open" && !asked.has(index)) return nextMove(plan, training, index, audit);
  }
  return null;
}

export function hasOpenAudits({ audits }: Training): boolean {
  return audits.values().some(({ status }) => status === "open");
}

function nextMove(plan: TrainingPlan, training: Training, index: number, audit: Audit): StepDecision {
  const { rechecks } = audit;
  const where = `micro-batch ${index} of step ${training.step}`;
  const told = rechecks.filter(({ digest }) => digest !== NO_DIGEST);
  const agreed = Map.groupBy(told, ({ digest }) => digest).values().find((group) => group.length > 1);
  if (agreed !== undefined) {
    const [{ digest: right }] = agreed as [Recheck];
    const names = agreed.map(({ worker }) => worker).join(" and ");
    const odd = rechecks.filter(({ digest }) => digest !== right);
    const passed = withAudit(training, index, { ...audit, status: "passed" });
    return foundWrong(
      passed,
      odd,
      ({ digest }) =>
        `its gradient of ${where} has the digest ${short(digest)}, where ${names} agree on ${short(right)}`,
    );
  }
  const contradictory = rechecks.filter(({ digest, again }) => again !== null && again !== digest);
  if (contradictory.length > 0) {
    const rest = rechecks.filter((recheck) => !contradictory.includes(recheck));
    // What is left has said the same twice, or is asked again.
    const isSettled = rest.length === 1 && rest[0]!.again !== null;
    const status = isSettled ? "passed" : "open";
    const next = rest.length === 0
      ? training
      : withAudit(training, index, { ...audit, status, rechecks: rest });
    return foundWrong(
      next,
      contradictory,
      ({ digest, again }) =>
        `it computed ${where} twice, with the digests ${short(digest)} and ${short(again!)}`,
    );
  }
  const auditor = leastAsked(training, othersLike(training, audit), index);
  if (auditor !== null) return ask(training, index, auditor, `${auditor} audits ${where}`);
  if (rechecks.length === 1) {
    const skipped = withAudit(training, index, { ...audit, status: "skipped" });
    return unchanged(
      skipped,
      `nobody else can tell for the GPU of ${rechecks[0]!.worker}: ${where} is not audited`,
    );
  }
  const isThere = ({ worker }: Recheck) => training.members.some((member) => member.worker === worker);
  const unasked = rechecks.find((recheck) => recheck.again === null && isThere(recheck));
  if (unasked !== undefined) {
    return ask(training, index, unasked.worker, `${unasked.worker} is asked again for ${where}`);
  }
  return unresolved(plan, training, index, audit, where);
}

/** Members with the GPU of whoever has the micro-batch, who have not said anything about it. */
function othersLike({ fleet, members }: Training, { rechecks, notFinite }: Audit): readonly string[] {
  const gpuOf = new Map(fleet.members.map(({ worker, gpu }) => [worker, gpu]));
  const gpu = gpuOf.get(rechecks[0]!.worker);
  return members.map(({ worker }) => worker).filter((worker) =>
    gpuOf.get(worker) === gpu && !notFinite.includes(worker) &&
    !rechecks.some((recheck) => recheck.worker === worker)
  );
}

function ask(training: Training, index: number, worker: string, reason: string): StepDecision {
  return announced(withAssignment(training, { index, worker, purpose: "audit" }), {}, reason);
}

/** Announced with the members that are left (step.ts). */
function foundWrong(
  training: Training,
  odd: readonly Recheck[],
  reasonOf: (recheck: Recheck) => string,
): StepDecision {
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
): StepDecision {
  const said = audit.rechecks.map(({ worker, digest }) => `${worker} has ${short(digest)}`).join(", ");
  const isCertain = audit.rechecks.every(({ again }) => again !== null);
  const message = `${where} has different bits on machines that describe their GPU alike (${said}), ` +
    (isCertain ? "each the same when asked again" : "and not all of them are there any more") +
    ": one of them is wrong, or their drivers differ, and nobody can tell which is right";
  if (isCertain && plan.failsUnresolved) {
    const remedy = `add a third one, or set fleet.audit_unresolved to "continue"`;
    return failJob(training, "gpu_failure", `${message}; ${remedy}`);
  }
  const skipped = withAudit(training, index, { ...audit, status: "skipped" });
  return unchanged(skipped, message, [{ type: "event", level: "error", message: sentence(message) }]);
}

/** All is counted, and the audits do not come on: they are skipped, and who was asked gets a strike. Null before. */
export function skipLateAudits(context: DecisionContext, training: Training): StepDecision | null {
  const { now, limits } = context;
  const waitMs = auditWaitMs(training.slowestMs, limits);
  const quietSince = Math.max(training.progressAt, training.workedAt);
  if (!hasOpenAudits(training) || !isComplete(training.ledger) || now - quietSince < waitMs) {
    return null;
  }
  const isOpen = (index: number) => training.audits.get(index)?.status === "open";
  const late = training.assignments.filter(({ purpose, index }) => purpose === "audit" && isOpen(index));
  const names = [...new Set(late.map(({ worker }) => worker))].join(", ");
  const seconds = Math.round(waitMs / 1000);
  const why = `step ${training.step}: it did not compute an audit in ${seconds} s`;
  const blamed = blame(training, late.map(({ worker }) => worker), why, limits);
  const audits = new Map(
    [...training.audits].map((
      [index, audit],
    ) => [index, audit.status === "open" ? { ...audit, status: "skipped" as const } : audit]),
  );
  const message = `Audits of step ${training.step} are skipped: nothing came from ${names} in ${seconds} s.`;
  const skipped = withoutAssignments(
    { ...blamed.training, audits },
    (assignment) => assignment.purpose === "audit",
  );
  return unchanged(skipped, message, [{ type: "event", level: "warn", message }, ...blamed.effects]);
}

/** With the audits of the attempt that is committed. */
export function auditTotals({ committed, audits, failedAudits }: Training): AuditCounts {
  const before = committed?.audits ?? { passed: 0, failed: 0, skipped: 0 };
  const countOf = (wanted: Audit["status"]) =>
    audits.values().filter(({ status }) => status === wanted)
      .toArray().length;
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
