/**
 * Attempts that continue with other members, and work that is handed out twice. Members that stay keep their gradient sums; they
 * redo what was in the sums of those that are gone.
 */
import type { Assignment, MemberRef } from "../../shared/protocol/messages_coordinator.ts";
import { isComplete, type Ledger, releaseWorkers, uncounted, withoutReportsOf } from "./state/ledger.ts";
import { abortAttempt, announced, type Decision, requeue, sentence, unchanged } from "./decision.ts";
import { warning } from "./state/effects.ts";
import { digestKindOf } from "./state/digest_kind.ts";
import { withoutAssignments } from "./state/assignments.ts";
import { busyMembers, loadedJob, membersOf, readyMembers } from "./members/eligibility.ts";
import type { FleetMember } from "./state/fleet_view.ts";
import type { StepContext } from "./state/plan.ts";
import { NO_HEDGES, type Training } from "./state/training.ts";

/** Members come and go in phase `compute`; in `reduce` only a loss is worth a new round. Null if nothing changes. */
export function regroup(context: StepContext, training: Training): Decision | null {
  const { plan, now } = context;
  const { members, fleet, phase, quarantined, expelled } = training;
  const loaded = fleet.members.filter((member) => loadedJob(plan, member) !== null);
  const present = new Set(loaded.map(({ incarnation }) => incarnation));
  const gone = members.filter(({ incarnation }) => !present.has(incarnation));
  const known = new Set(members.map(({ incarnation }) => incarnation));
  const fresh = readyMembers(plan, training).filter(({ incarnation }) =>
    !known.has(incarnation) && !expelled.has(incarnation)
  );
  if (gone.length === 0 && (fresh.length === 0 || phase === "reduce")) return null;

  const names = gone.map(({ worker }) => worker).join(", ");
  const stay = members.filter((member) => !gone.includes(member));
  if (stay.length === 0) {
    return abortAttempt(context, training, `${names} ${gone.length === 1 ? "is" : "are"} gone`, []);
  }
  const joined = [...stay, ...fresh].sort((a, b) => a.worker < b.worker ? -1 : 1);
  const out = gone.filter(({ worker }) => quarantined.has(worker));
  const released = releaseWorkers(training.ledger, new Set(gone.map(({ worker }) => worker)));
  const ledger = withoutReportsOf(released, quarantined);
  const regrouped: Training = {
    ...dropDeparted(training, ledger, joined),
    ...membersOf(training, joined),
    ...{
      generation: training.generation + 1,
      ledger,
      updates: new Map(),
      progressAt: now,
      hedges: NO_HEDGES,
    },
    expelled: new Set([...expelled, ...out.map(({ incarnation }) => incarnation)]),
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
  const event = warning(sentence(reason));
  // In `compute` audits may still be open, or sums too large.
  if (isComplete(ledger)) {
    const digestKind = digestKindOf(context, regrouped);
    return announced(regrouped, { since: now, digestKind }, reason, [event]);
  }
  const again = requeue(regrouped, notInHand(training, regrouped), true);
  return announced(again.training, { phase: "compute", since: now }, reason, [event, again.effect]);
}

/** Micro-batches that are not counted and that no member is known to compute; an auditor adds nothing to its sums. */
function notInHand(before: Training, training: Training): number[] {
  const isAudit = ({ worker, busy }: FleetMember) =>
    before.assignments.some((assignment) =>
      assignment.worker === worker && assignment.index === busy!.index && assignment.purpose === "audit"
    );
  const busy = busyMembers(training).filter((member) => !isAudit(member)).map(({ busy }) => busy!.index);
  const asked = training.assignments.filter(({ purpose }) => purpose === "claim").map(({ index }) => index);
  const inHand = new Set([...busy, ...asked]);
  return uncounted(training.ledger).filter((index) => !inHand.has(index));
}

/** Drops assignments to members that are gone, audits of released micro-batches, and reports of quarantined workers. */
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
 * Hands the last micro-batches of a step to idle members as well: their holders may be slow, stopped or gone, or an item may be
 * stuck on its way. The first to finish counts. Null if there is nothing to hedge.
 */
export function hedge({ now, limits }: StepContext, training: Training): Decision | null {
  const { ledger, members, slowestMs, progressAt, hedges } = training;
  const left = uncounted(ledger);
  if (slowestMs === null || left.length === 0 || left.length > members.length) return null;
  if (busyMembers(training).length >= members.length) return null;
  const waitMs = Math.max(limits.hedgeMs, slowestMs * limits.hedgeFactor) * 2 ** hedges.count;
  if (now - Math.max(progressAt, hedges.at) < waitMs) return null;
  const again = requeue(training, left, false);
  const reason = `micro-batches ${left.join(", ")} are handed out once more after ${Math.round(waitMs)} ms`;
  const hedged = { ...again.training, hedges: { count: hedges.count + 1, at: now } };
  return unchanged(hedged, reason, [again.effect]);
}
