/**
 * An attempt that goes on with other members, and work that is handed out twice. Whoever stays keeps its gradient sums; what
 * was in the sums of those who are gone is done again by the others.
 */
import type { DecisionContext } from "./state/context.ts";
import type { Assignment, MemberRef } from "../../shared/protocol/messages_coordinator.ts";
import { isComplete, type Ledger, releaseWorkers, uncounted, withoutWordOf } from "./state/ledger.ts";
import { announced, requeue, sentence, type StepDecision, unchanged } from "./decision.ts";
import { abortAttempt } from "./decision.ts";
import type { StepEffect } from "./state/effects.ts";
import { withoutAssignments } from "./state/assignments.ts";
import { busyMembers, loadedJob, membersOf, readyMembers } from "./members/eligibility.ts";
import type { FleetMember } from "./state/fleet_view.ts";
import { NO_HEDGES, type Training } from "./state/training.ts";

/** Members come and go in phase `compute`; in `reduce` only a loss is worth another round. Null where nothing changes. */
export function regroup(context: DecisionContext, training: Training): StepDecision | null {
  const { plan, now } = context;
  const { members, fleet, phase } = training;
  const present = new Map(fleet.members.map((member) => [member.incarnation, member]));
  const isPresent = (incarnation: string) => {
    const member = present.get(incarnation);
    return member !== undefined && loadedJob(plan, member) !== null;
  };
  const gone = members.filter(({ incarnation }) => !isPresent(incarnation));
  const known = new Set(members.map(({ incarnation }) => incarnation));
  const fresh = readyMembers(plan, training).filter(({ incarnation }) =>
    !known.has(incarnation) && !training.expelled.has(incarnation)
  );
  if (gone.length === 0 && (fresh.length === 0 || phase === "reduce")) return null;

  const names = gone.map(({ worker }) => worker).join(", ");
  const stay = members.filter((member) => !gone.includes(member));
  if (stay.length === 0) {
    return abortAttempt(context, training, `${names} ${gone.length === 1 ? "is" : "are"} gone`, []);
  }
  const joined = [...stay, ...fresh].sort((a, b) => a.worker < b.worker ? -1 : 1);
  const out = gone.filter(({ worker }) => training.quarantined.has(worker));
  const released = releaseWorkers(training.ledger, new Set(gone.map(({ worker }) => worker)));
  const ledger = withoutWordOf(released, training.quarantined);
  const regrouped: Training = {
    ...dropDeparted(training, ledger, joined),
    ...membersOf(training, joined),
    generation: training.generation + 1,
    ledger,
    expelled: new Set([...training.expelled, ...out.map(({ incarnation }) => incarnation)]),
    updates: new Map(),
    progressAt: now,
    hedges: NO_HEDGES,
  };
  if (gone.length === 0) {
    return announced(regrouped, {}, `${fresh.map(({ worker }) => worker).join(", ")} takes part from now on`);
  }
  const lost = uncounted(ledger).length - uncounted(training.ledger).length;
  const how = out.length === gone.length ? "without" : "lost";
  const others = joined.length === 1 ? "the other one goes" : `${joined.length} go`;
  const reason =
    `${how} ${names}: ${others} on with step ${training.step}, and ${lost} of ${ledger.entries.length} ` +
    "micro-batches are done again";
  const event: StepEffect = { type: "event", level: "warn", message: sentence(reason) };
  // In `compute` audits may be open still, or sums too large.
  if (isComplete(ledger)) return announced(regrouped, { since: now }, reason, [event]);
  const again = requeue(regrouped, notInHand(training, regrouped), { purge: true });
  return announced(again.training, { phase: "compute", since: now }, reason, [event, again.effect]);
}

/** Micro-batches that nobody has counted or, as far as is known, is computing; an auditor adds nothing to its sums. */
function notInHand(before: Training, training: Training): number[] {
  const isAudit = ({ worker, busy }: FleetMember) =>
    before.assignments.some((assignment) =>
      assignment.worker === worker && assignment.index === busy!.index && assignment.purpose === "audit"
    );
  const busy = busyMembers(training).filter((member) => !isAudit(member));
  const inHand = new Set(busy.map(({ busy }) => busy!.index));
  const asked = new Set(
    training.assignments.filter(({ purpose }) => purpose === "claim").map(({ index }) => index),
  );
  return uncounted(training.ledger).filter((index) => !inHand.has(index) && !asked.has(index));
}

/** Assignments to those who are gone, what was said about micro-batches that are released, and the words of those in quarantine. */
function dropDeparted(training: Training, ledger: Ledger, members: readonly MemberRef[]): Training {
  const { quarantined } = training;
  const isCounted = (index: number) => ledger.entries[index] !== null;
  const audits = [...training.audits].filter(([index]) => isCounted(index)).map(([index, audit]) => {
    const rechecks = audit.rechecks.filter(({ worker }, place) => place === 0 || !quarantined.has(worker));
    return [index, { ...audit, rechecks }] as const;
  });
  const nonFinite = [...training.nonFinite].map(([index, rechecks]) =>
    [index, rechecks.filter(({ worker }) => !quarantined.has(worker))] as const
  ).filter(([, rechecks]) => rechecks.length > 0);
  const isOver = ({ worker, purpose, index }: Assignment) =>
    !members.some((member) => member.worker === worker) || (purpose === "audit" && !isCounted(index));
  return { ...withoutAssignments(training, isOver), audits: new Map(audits), nonFinite: new Map(nonFinite) };
}

/**
 * The last micro-batches of a step, given to somebody idle as well: whoever has them may be slow, stopped or gone, or they are
 * stuck on their way. The first to finish counts. Null where there is nothing to hedge.
 */
export function hedge(context: DecisionContext, training: Training): StepDecision | null {
  const { now, limits } = context;
  const { ledger, members, slowestMs, progressAt, hedges } = training;
  const left = uncounted(ledger);
  if (slowestMs === null || left.length === 0 || left.length > members.length) return null;
  if (busyMembers(training).length >= members.length) return null;
  const waitMs = Math.max(limits.hedgeMs, slowestMs * limits.hedgeFactor) * 2 ** hedges.count;
  if (now - Math.max(progressAt, hedges.at) < waitMs) return null;
  const again = requeue(training, left, { purge: false });
  const reason = `micro-batches ${left.join(", ")} are handed out once more after ${Math.round(waitMs)} ms`;
  const hedged = { ...again.training, hedges: { count: hedges.count + 1, at: now } };
  return unchanged(hedged, reason, [again.effect]);
}
