/**
 * An attempt that goes on with other members, and work that is handed out twice. Whoever stays keeps its gradient sums; what
 * was in the sums of those who are gone is done again by the others.
 */
import type { Limits } from "../shared/limits.ts";
import { isComplete, releaseWorkers, uncounted } from "./ledger.ts";
import {
  announced,
  nextGeneration,
  requeue,
  sentence,
  type StepDecision,
  unchanged,
} from "./step_decision.ts";
import { abortAttempt, type StepEffect } from "./step_decision.ts";
import { busyMembers, loadedJob, membersOf, readyMembers } from "./step_fleet.ts";
import { NO_HEDGES, type Training, type TrainingPlan } from "./step_state.ts";

/** Members come and go in phase `compute`; in `reduce` only a loss is worth another round. Null where nothing changes. */
export function regroup(
  plan: TrainingPlan,
  training: Training,
  now: number,
  limits: Limits,
): StepDecision | null {
  const { members, fleet, phase } = training;
  const present = new Map(fleet.members.map((member) => [member.incarnation, member]));
  const isPresent = (incarnation: string) => {
    const member = present.get(incarnation);
    return member !== undefined && loadedJob(plan, member) !== null;
  };
  const gone = members.filter(({ incarnation }) => !isPresent(incarnation));
  const known = new Set(members.map(({ incarnation }) => incarnation));
  const fresh = readyMembers(plan, training, limits).filter(({ incarnation }) => !known.has(incarnation));
  if (gone.length === 0 && (fresh.length === 0 || phase === "reduce")) return null;

  const names = gone.map(({ worker }) => worker).join(", ");
  const stay = members.filter((member) => !gone.includes(member));
  if (stay.length === 0) {
    return abortAttempt(training, `${names} ${gone.length === 1 ? "is" : "are"} gone`, [], now, limits);
  }
  const joined = [...stay, ...fresh].sort((a, b) => a.worker < b.worker ? -1 : 1);
  const ledger = releaseWorkers(training.ledger, new Set(gone.map(({ worker }) => worker)));
  const regrouped: Training = {
    ...training,
    ...membersOf(training, joined),
    generation: nextGeneration(training, now),
    ledger,
    updates: new Map(),
    progressAt: now,
    hedges: NO_HEDGES,
  };
  if (gone.length === 0) {
    return announced(regrouped, {}, `${fresh.map(({ worker }) => worker).join(", ")} takes part from now on`);
  }
  const lost = training.ledger.countedCount - ledger.countedCount;
  const others = joined.length === 1 ? "the other one goes" : `${joined.length} go`;
  const reason =
    `lost ${names}: ${others} on with step ${training.step}, and ${lost} of ${ledger.entries.length} ` +
    "micro-batches are done again";
  const event: StepEffect = { type: "event", level: "warn", message: sentence(reason) };
  if (isComplete(ledger)) return announced(regrouped, { phase: "reduce", since: now }, reason, [event]);
  const again = requeue(regrouped, notInHand(regrouped), { purge: true });
  return announced(again.training, { phase: "compute", since: now }, reason, [event, again.effect]);
}

/** Micro-batches that nobody has counted or, as far as is known, is computing. */
function notInHand(training: Training): number[] {
  const inHand = new Set(busyMembers(training).map(({ busy }) => busy!.index));
  return uncounted(training.ledger).filter((index) => !inHand.has(index));
}

/**
 * The last micro-batches of a step, given to somebody idle as well: whoever has them may be slow, stopped or gone, or they are
 * stuck on their way. The first to finish counts. Null where there is nothing to hedge.
 */
export function hedge(training: Training, now: number, limits: Limits): StepDecision | null {
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
