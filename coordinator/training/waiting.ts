/** Between two attempts: who is there, what they hold, and whether the next attempt can begin or the job has to start again. */
import type { DecisionContext } from "./state/context.ts";
import { counted } from "../../shared/counted.ts";
import { recoverWaitMs } from "../../shared/protocol/limits.ts";
import { type CommitEntry, NO_AUDITS } from "../../shared/protocol/messages_coordinator.ts";
import { newLedger } from "./state/ledger.ts";
import { announced, failJob, sentence, type StepDecision, unchanged } from "./decision.ts";
import {
  isSameLayout,
  loadedJob,
  loadFailureOfAll,
  membersOf,
  readyMembers,
  recoveringMembers,
} from "./members/eligibility.ts";
import { firstExponents } from "./state/exponents.ts";
import { gradientBytesOf, isStateStored, NO_HEDGES } from "./state/training.ts";
import type { FleetMember } from "./state/fleet_view.ts";
import type { Training } from "./state/training.ts";

/** In phase `waiting`: agrees on the initial adapter, or begins the next attempt, as soon as there is somebody for it. */
export function startAttempt(context: DecisionContext, training: Training): StepDecision | null {
  const { plan, now, limits } = context;
  const failure = loadFailureOfAll(plan, training);
  if (failure !== null) return failJob(training, failure.code, failure.message, [], failure.param);
  if (training.committed === null) return agreeOnInitial(context, training);

  const ready = readyMembers(plan, training);
  if (ready.length === 0) return nobodyReady(context, training);
  const recovering = recoveringMembers(plan, training);
  const waitMs = recoverWaitMs(gradientBytesOf(training), limits);
  if (recovering.length > 0 && now - training.since < waitMs) return null;
  if (now < training.notBefore) return null;
  const failed = training.attempt - training.excused;
  if (failed >= limits.maxAttemptsPerStep) {
    const message = `step ${training.step} could not be done in ${
      counted(failed, "attempt")
    }; the events say why`;
    return failJob(training, "aborted", message);
  }
  const attempt = training.attempt + 1;
  const tensorCount = training.layout?.tensorCount ?? 0;
  return announced(
    training,
    {
      attempt,
      generation: training.generation + 1,
      phase: "compute",
      since: now,
      progressAt: now,
      attemptStartedAt: now,
      blackoutMs: 0,
      hedges: NO_HEDGES,
      exponents: training.exponents ?? firstExponents(plan, training.step, null, tensorCount, limits),
      ...membersOf(training, ready),
      notWaitedFor: new Set([...training.notWaitedFor, ...recovering.map(({ incarnation }) => incarnation)]),
      stateLostAt: null,
      ledger: newLedger(plan.microBatchCountOf(training.step)),
      nonFinite: new Map(),
      assignments: [],
      audits: new Map(),
      expelled: new Set(),
      updates: new Map(),
      requeues: 0,
    },
    `step ${training.step}, attempt ${attempt} begins with ${ready.length}`,
    [{ type: "enqueue", step: training.step, attempt }],
  );
}

/** The first loaded worker's initial adapter is the one; all others compute the same from the seed. */
function agreeOnInitial(context: DecisionContext, training: Training): StepDecision | null {
  const { plan, now } = context;
  const loaded = training.fleet.members.flatMap((member) => {
    const job = loadedJob(plan, member);
    return job !== null && job.committed.step === 0 && !member.draining ? [{ member, job }] : [];
  });
  const wanted = plan.layout ?? null;
  const isLoading = ({ draining, job }: FleetMember) =>
    !draining && (job === null || job.phase === "loading");
  // One whose adapter is another than the job's is not believed before all others have told theirs.
  const first = loaded.find(({ job }) => wanted === null || isSameLayout(job.layout, wanted)) ??
    (training.fleet.members.some(isLoading) ? undefined : loaded[0]);
  if (first === undefined) return null;
  const { digest } = first.job.committed;
  const agreeing = loaded.filter(({ job }) => job.committed.digest === digest).map(({ member }) => member);
  const members = agreeing.map(({ worker, incarnation }) => ({ worker, incarnation }));
  const entry: CommitEntry = {
    ...initialCommit(plan, digest, now),
    generation: training.fleet.generation,
    members: members.map(({ worker }) => worker),
  };
  return announced(
    training,
    { phase: "commit", since: now, members, pending: entry, layout: first.job.layout },
    `the initial adapter is that of ${first.member.worker}`,
    [{ type: "append", entry, expectedLast: training.sequence }],
  );
}

/** The commit of step 0. */
export function initialCommit(
  { jobId, startId, specHash }: Pick<CommitEntry, "jobId" | "startId" | "specHash">,
  digest: string,
  committedAt: number,
): CommitEntry {
  return {
    ...{ jobId, startId, specHash, digest, committedAt },
    step: 0,
    attempt: 0,
    generation: 0,
    members: [],
    labelCount: 0,
    loss: null,
    gradientNorm: null,
    maxAbs: "",
    excluded: [],
    excludedTotal: 0,
    audits: NO_AUDITS,
  };
}

/** Nobody can take part: says so once, and gives up on a state that nobody has any more. */
function nobodyReady(context: DecisionContext, training: Training): StepDecision | null {
  const { now } = context;
  const { fleet, stateLostAt, step } = training;
  if (stateLostAt === null) {
    const reason = fleet.members.length === 0
      ? `all workers are gone: the job waits at step ${step} for one to join${orToBeReinstated(training)}`
      : isStateStored(training)
      ? `no worker holds the state of step ${step - 1}: it is loaded from the coordinator`
      : `no worker has told yet that it holds the state of step ${step - 1}: the job waits for one${
        orToBeReinstated(training)
      }`;
    return unchanged({ ...training, stateLostAt: now }, reason, [
      { type: "event", level: "warn", message: sentence(reason) },
    ]);
  }
  return restartIfLost(context, training, stateLostAt);
}

function orToBeReinstated({ quarantined }: Training): string {
  return quarantined.size === 0 ? "" : ` (${[...quarantined].join(", ")} may be reinstated)`;
}

/** Fresh workers are there and nobody came back with the state for too long: from an earlier state, or from the start. */
export function restartIfLost(
  context: DecisionContext,
  training: Training,
  since: number,
): StepDecision | null {
  const { now, limits } = context;
  const { freshAt } = training;
  if (freshAt === null) return null;
  const { step } = training.committed!;
  if (isStateStored(training)) {
    // Fresh workers load it from the coordinator; that none of them can is no matter of waiting.
    const waitMs = limits.stateLossGraceMs + recoverWaitMs(gradientBytesOf(training), limits);
    if (now - freshAt < waitMs) return null;
    return failJob(training, "corrupt", `no worker could load the stored state of step ${step}`);
  }
  if (now - since < limits.stateLossGraceMs) return null;
  const seconds = Math.round(limits.stateLossGraceMs / 1000);
  const reason = `nobody has come back with the state of step ${step} in ${seconds} s`;
  // Of this start nothing more is announced: workers find another one in the fleet's state.
  return announced(training, { phase: "failed" }, reason, [{ type: "restart", reason }]);
}
