/** Which members of the fleet can take part in a step. */
import type { MemberRef } from "../../../shared/protocol/messages_coordinator.ts";
import type { Heartbeat, WorkerJob } from "../../../shared/protocol/messages_worker.ts";
import { rangeWeights } from "./range_weights.ts";
import { apart } from "../blame/accusations.ts";
import { type StepEffect, warning } from "../state/effects.ts";
import { isLoadable } from "../state/digest_kind.ts";
import type { FleetMember, FleetView } from "../state/fleet_view.ts";
import { liveHolders, type Training } from "../state/training.ts";
import type { Layout } from "../../planning/adapter_layout.ts";
import type { TrainingPlan } from "../state/plan.ts";

/**
 * The training with the fleet as it is now. A member is a holder from the commit that it took part in, or from the heartbeat
 * that reports it, until it is gone or has dropped its state. `holders` stays the same object if nothing changed.
 */
export function withFleet(plan: TrainingPlan, training: Training, fleet: FleetView, now: number): Training {
  const { committed } = training;
  const holders = new Set<string>();
  for (const member of fleet.members) {
    const job = loadedJob(plan, member);
    if (job === null || committed === null) continue;
    const holds = job.committed.step === committed.step && job.committed.digest === committed.digest;
    if (holds || training.holders.has(member.incarnation)) holders.add(member.incarnation);
  }
  const isSame = holders.size === training.holders.size && holders.isSubsetOf(training.holders);
  const holder = fleet.members.find(({ incarnation }) => holders.has(incarnation));
  const layout = training.layout ?? (holder === undefined ? null : loadedJob(plan, holder)?.layout ?? null);
  const isFreshThere = fleet.members.some((member) => loadedJob(plan, member) !== null && !member.draining);
  const isStateLost = committed !== null && holders.size === 0;
  return {
    ...training,
    fleet,
    layout,
    holders: isSame ? training.holders : holders,
    workedAt: hasProgressed(plan, training, fleet) ? now : training.workedAt,
    freshAt: isStateLost && isFreshThere ? training.freshAt ?? now : null,
  };
}

/** Members that compute something of the current attempt. */
export function busyMembers({ fleet, members, step, attempt }: Training): readonly FleetMember[] {
  const incarnations = new Set(members.map(({ incarnation }) => incarnation));
  return fleet.members.filter(({ incarnation, busy }) =>
    incarnations.has(incarnation) && busy?.step === step && busy.attempt === attempt
  );
}

/** With local steps: whether a member has computed one more micro-batch of its inner loop. */
function hasProgressed(plan: TrainingPlan, training: Training, fleet: FleetView): boolean {
  if (plan.local === null || plan.local === undefined || training.phase !== "compute") return false;
  const doneOf = ({ microBatchesDone = 0 }: FleetMember) => microBatchesDone;
  return busyMembers({ ...training, fleet }).some((member) => {
    const before = training.fleet.members.find(({ incarnation }) => incarnation === member.incarnation);
    return before !== undefined && doneOf(member) > doneOf(before);
  });
}

/**
 * Whether a heartbeat has news that should not wait for the next tick: the worker leaves soon, has reached a new phase of
 * loading the job, or has loaded the newest commit.
 * @param before the heartbeat before it; null for an incarnation's first one
 */
export function isNews(
  plan: TrainingPlan,
  { committed, holders }: Training,
  before: Heartbeat | null,
  { incarnation, draining, job }: Heartbeat,
): boolean {
  if (before === null || before.draining !== draining) return true;
  if (before.job?.phase !== job?.phase || before.job?.startId !== job?.startId) return true;
  if (job?.phase !== "loaded" || job.startId !== plan.startId || committed === null) return false;
  return !holders.has(incarnation) && job.committed.step === committed.step &&
    job.committed.digest === committed.digest;
}

/** The job as a member has loaded it; null if it has not. */
export function loadedJob(plan: TrainingPlan, { job }: FleetMember) {
  return job?.phase === "loaded" && job.startId === plan.startId ? job : null;
}

/**
 * Members that can take part in an attempt that begins now, sorted by worker id. Of those that leave only the last holders of a
 * state that nobody can load from them, if others stay: the next commit is one that these can load.
 */
export function readyMembers(plan: TrainingPlan, training: Training): readonly FleetMember[] {
  const { fleet, committed } = training;
  const holders = liveHolders(training).filter((member) => loadedJob(plan, member) !== null);
  const staying = holders.filter(({ draining }) => !draining);
  if (staying.length > 0 || committed === null || isLoadable(committed)) return staying;
  return fleet.members.some(({ draining, job }) => !draining && job?.phase !== "failed") ? holders : [];
}

/** Members that have loaded the job but not yet the newest commit: worth a short wait, once. */
export function recoveringMembers(plan: TrainingPlan, training: Training): readonly FleetMember[] {
  return training.fleet.members.filter((member) =>
    !training.holders.has(member.incarnation) && !training.notWaitedFor.has(member.incarnation) &&
    !member.draining && loadedJob(plan, member) !== null
  );
}

/**
 * The members of an attempt, with weights by the speed of their links. Two whose reports contradict each other own nothing as
 * long as a different member does, so that neither waits for the other.
 */
export function membersOf(
  training: Training,
  members: readonly MemberRef[],
): Pick<Training, "members" | "weights"> {
  const { fleet } = training;
  const speeds = new Map(fleet.members.map((member) => [member.incarnation, member.linkBytesPerSecond]));
  const weights = rangeWeights(members.map(({ incarnation }) => speeds.get(incarnation) ?? null));
  const disputed = apart(training);
  const isDisputed = (index: number) => disputed.has(members[index]!.worker);
  const without = weights.map((weight, index) => isDisputed(index) ? 0 : weight);
  // The others' links may be too slow to own anything otherwise.
  const others = weights.map((_, index) => isDisputed(index) ? 0 : 1);
  return {
    members: members.map(({ worker, incarnation }) => ({ worker, incarnation })),
    weights: [without, others].find((all) => all.some((weight) => weight > 0)) ?? weights,
  };
}

type LoadFailure = Extract<WorkerJob, { phase: "failed" }>;

function loadFailure(plan: TrainingPlan, { job }: FleetMember): LoadFailure | null {
  return job?.phase === "failed" && job.startId === plan.startId ? job : null;
}

/** One event for each worker that cannot load the job. */
export function newLoadFailures(plan: TrainingPlan, before: FleetView, after: FleetView): StepEffect[] {
  return after.members.flatMap((member): StepEffect[] => {
    const failure = loadFailure(plan, member);
    if (failure === null) return [];
    const known = before.members.find(({ incarnation }) => incarnation === member.incarnation);
    if (known !== undefined && loadFailure(plan, known) !== null) return [];
    return [warning(`${member.worker} cannot take part: ${failure.message}`)];
  });
}

/**
 * The first failure if there are workers but none can load the job, else null. A worker with a full disk retries by itself: the
 * job waits for it, or for a different worker.
 */
export function loadFailureOfAll(plan: TrainingPlan, { fleet }: Training): LoadFailure | null {
  const failures = fleet.members.map((member) => loadFailure(plan, member));
  const isFinal = (failure: LoadFailure | null) => failure !== null && failure.code !== "storage";
  return failures.every(isFinal) ? failures[0] ?? null : null;
}

/**
 * Treats workers whose layout of the adapter is not the job's as if they had loaded nothing, as soon as one worker's is. One
 * event for each.
 */
export function withoutMisfits(
  plan: TrainingPlan,
  training: Training,
  fleet: FleetView,
): { readonly training: Training; readonly fleet: FleetView; readonly effects: readonly StepEffect[] } {
  const layoutOf = (member: FleetMember) => loadedJob(plan, member)?.layout ?? null;
  const wanted = plan.layout ?? null;
  const isWanted = (member: FleetMember) => isSameLayout(layoutOf(member), wanted);
  const isMisfit = (member: FleetMember) => layoutOf(member) !== null && !isWanted(member);
  if (wanted === null || !fleet.members.some(isWanted)) return { training, fleet, effects: [] };
  const found = fleet.members.filter(isMisfit);
  if (found.length === 0) return { training, fleet, effects: [] };
  const fresh = found.filter(({ incarnation }) => !training.misfits.has(incarnation));
  const effects = fresh.map((member): StepEffect => {
    const message = `${member.worker} takes no part in the job: it reports an adapter of ` +
      `${describeLayout(layoutOf(member)!)}; by the job and its base model it has ${describeLayout(wanted)}.`;
    return { type: "event", level: "error", message };
  });
  const misfits = new Set([...training.misfits, ...found.map(({ incarnation }) => incarnation)]);
  const members = fleet.members.map((member) => isMisfit(member) ? { ...member, job: null } : member);
  return { training: { ...training, misfits, layout: wanted }, fleet: { ...fleet, members }, effects };
}

/** False if either is null. */
export function isSameLayout(a: Layout | null, b: Layout | null): boolean {
  return a !== null && b !== null && a.tensorCount === b.tensorCount && a.elementCount === b.elementCount &&
    a.parameterCount === b.parameterCount;
}

function describeLayout({ tensorCount, elementCount, parameterCount }: Layout): string {
  return `${tensorCount} tensors with ${parameterCount} parameters in ${elementCount} elements`;
}
