/** Who of the fleet can take part in a step. */
import type { MemberRef } from "../../../shared/protocol/messages_coordinator.ts";
import type { Heartbeat, WorkerJob } from "../../../shared/protocol/messages_worker.ts";
import { rangeWeights } from "./range_weights.ts";
import { apart } from "../blame/accusations.ts";
import type { StepEffect } from "../state/effects.ts";
import type { FleetMember, FleetView } from "../state/fleet_view.ts";
import type { Training } from "../state/training.ts";
import type { Layout } from "../../planning/adapter_layout.ts";
import type { TrainingPlan } from "../state/plan.ts";

/**
 * The training with the fleet as it is now. A member is a holder from the commit that it took part in, or from the
 * heartbeat that tells so, until it is gone or has dropped its state; the same set is returned where nothing changed.
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

/** Members that compute something of the attempt that goes on. */
export function busyMembers({ fleet, members, step, attempt }: Training): readonly FleetMember[] {
  const incarnations = new Set(members.map(({ incarnation }) => incarnation));
  return fleet.members.filter(({ incarnation, busy }) =>
    incarnations.has(incarnation) && busy?.step === step && busy.attempt === attempt
  );
}

/** With local steps: whether a member has computed another micro-batch of its inner loop. */
function hasProgressed(plan: TrainingPlan, training: Training, fleet: FleetView): boolean {
  if (plan.local === null || plan.local === undefined || training.phase !== "compute") return false;
  const doneOf = ({ microBatchesDone = 0 }: FleetMember) => microBatchesDone;
  return busyMembers({ ...training, fleet }).some((member) => {
    const before = training.fleet.members.find(({ incarnation }) => incarnation === member.incarnation);
    return before !== undefined && doneOf(member) > doneOf(before);
  });
}

/**
 * Whether a heartbeat tells what no decision should wait for until the next tick: that a worker leaves soon, how far it is
 * with the job, or that it has loaded the newest commit. What else it tells (what it computes, how fast its link is) is
 * looked at when something else happens; `before` is null for an incarnation's first word.
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

/** The job as a member has it loaded; null where it has not. */
export function loadedJob(plan: TrainingPlan, { job }: FleetMember) {
  return job?.phase === "loaded" && job.startId === plan.startId ? job : null;
}

/** Who can take part in an attempt that begins now, sorted by worker id. */
export function readyMembers(plan: TrainingPlan, training: Training): readonly FleetMember[] {
  return training.fleet.members.filter((member) =>
    training.holders.has(member.incarnation) && !member.draining && loadedJob(plan, member) !== null
  );
}

/** Who has loaded the job and is still to load the newest commit: worth a short wait, once. */
export function recoveringMembers(plan: TrainingPlan, training: Training): readonly FleetMember[] {
  return training.fleet.members.filter((member) =>
    !training.holders.has(member.incarnation) && !training.notWaitedFor.has(member.incarnation) &&
    !member.draining && loadedJob(plan, member) !== null
  );
}

/**
 * The members of an attempt, with the parts of the gradient that their links are good for. Two whose words stand against each
 * other own nothing, as long as somebody else does: then neither waits for the other.
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
  // The others' links may be slow ones, which own nothing otherwise.
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

/** Told once for each worker that cannot load the job. */
export function newLoadFailures(plan: TrainingPlan, before: FleetView, after: FleetView): StepEffect[] {
  return after.members.flatMap((member): StepEffect[] => {
    const failure = loadFailure(plan, member);
    if (failure === null) return [];
    const known = before.members.find(({ incarnation }) => incarnation === member.incarnation);
    if (known !== undefined && loadFailure(plan, known) !== null) return [];
    return [{
      type: "event",
      level: "warn",
      message: `${member.worker} cannot take part: ${failure.message}`,
    }];
  });
}

/**
 * The first failure where there are workers and none of them can load the job; null where somebody can or may. A worker whose
 * disk is full may once there is room, and tries by itself: the job waits for it, or for another one.
 */
export function loadFailureOfAll(plan: TrainingPlan, { fleet }: Training): LoadFailure | null {
  const failures = fleet.members.map((member) => loadFailure(plan, member));
  const isForGood = (failure: LoadFailure | null) => failure !== null && failure.code !== "storage";
  return failures.every(isForGood) ? failures[0] ?? null : null;
}

/**
 * The fleet without the words of workers whose adapter does not lie as the job's does, as soon as somebody's does: they have
 * loaded something else, or say so, and are as good as one that has loaded nothing. Each is told of once.
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
  const effects = found.filter(({ incarnation }) => !training.misfits.has(incarnation)).map((
    member,
  ): StepEffect => ({
    type: "event",
    level: "error",
    message: `${member.worker} takes no part in the job: it says that the adapter has ` +
      `${describeLayout(layoutOf(member)!)}; by the job and its base model it has ${describeLayout(wanted)}.`,
  }));
  const misfits = new Set([...training.misfits, ...found.map(({ incarnation }) => incarnation)]);
  const members = fleet.members.map((member) => isMisfit(member) ? { ...member, job: null } : member);
  return { training: { ...training, misfits, layout: wanted }, fleet: { ...fleet, members }, effects };
}

/** Null is like nothing. */
export function isSameLayout(a: Layout | null, b: Layout | null): boolean {
  return a !== null && b !== null && a.tensorCount === b.tensorCount && a.elementCount === b.elementCount &&
    a.parameterCount === b.parameterCount;
}

function describeLayout({ tensorCount, elementCount, parameterCount }: Layout): string {
  return `${tensorCount} tensors with ${parameterCount} parameters in ${elementCount} elements`;
}
