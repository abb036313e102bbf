/** Between two attempts: whether the next one can begin, or the job has to start again. */
import { counted } from "../../shared/counted.ts";
import { recoverWaitMs } from "../../shared/protocol/limits.ts";
import { type CommitEntry, NO_AUDITS } from "../../shared/protocol/messages_coordinator.ts";
import { newLedger } from "./state/ledger.ts";
import { announced, type Decision, failJob, sentence, unchanged } from "./decision.ts";
import {
  isSameLayout,
  loadedJob,
  loadFailureOfAll,
  membersOf,
  readyMembers,
  recoveringMembers,
} from "./members/eligibility.ts";
import { warning } from "./state/effects.ts";
import { isLoadable } from "./state/digest_kind.ts";
import { firstExponents } from "./state/exponents.ts";
import type { FleetMember } from "./state/fleet_view.ts";
import type { StepContext } from "./state/plan.ts";
import { gradientBytesOf, isStateStored, NEW_ATTEMPT, type Training } from "./state/training.ts";

/** In phase `waiting`: agrees on the initial adapter, or begins the next attempt, as soon as members are ready. */
export function startAttempt(context: StepContext, training: Training): Decision | null {
  const { plan, now, limits } = context;
  const { step } = training;
  const failure = loadFailureOfAll(plan, training);
  if (failure !== null) return failJob(training, failure.code, failure.message, [], failure.param);
  if (training.committed === null) return agreeOnInitial(context, training);

  const ready = readyMembers(plan, training);
  if (ready.length === 0) return noneReady(context, training);
  const recovering = isLoadable(training.committed) ? recoveringMembers(plan, training) : [];
  const waitMs = recoverWaitMs(gradientBytesOf(training), limits);
  if (recovering.length > 0 && now - training.since < waitMs) return null;
  if (now < training.notBefore) return null;
  const failed = training.attempt - training.excused;
  if (failed >= limits.maxAttemptsPerStep) {
    const message = `step ${step} could not be done in ${counted(failed, "attempt")}; the events say why`;
    return failJob(training, "aborted", message);
  }
  const attempt = training.attempt + 1;
  const tensorCount = training.layout?.tensorCount ?? 0;
  const change: Partial<Training> = {
    ...{ ...NEW_ATTEMPT, attempt, generation: training.generation + 1, phase: "compute", stateLostAt: null },
    ...{ since: now, progressAt: now, attemptStartedAt: now },
    ...membersOf(training, ready),
    exponents: training.exponents ?? firstExponents(plan, step, null, tensorCount, limits),
    notWaitedFor: new Set([...training.notWaitedFor, ...recovering.map(({ incarnation }) => incarnation)]),
    ledger: newLedger(plan.microBatchCountOf(step)),
  };
  const reason = `step ${step}, attempt ${attempt} begins with ${ready.length}`;
  return announced(training, change, reason, [{ type: "enqueue", step, attempt }]);
}

/** The first loaded worker's initial adapter is adopted; all others compute the same from the seed. */
function agreeOnInitial({ plan, now }: StepContext, training: Training): Decision | null {
  const loaded = training.fleet.members.flatMap((member) => {
    const job = loadedJob(plan, member);
    return job !== null && job.committed.step === 0 && !member.draining ? [{ member, job }] : [];
  });
  const wanted = plan.layout ?? null;
  const isLoading = ({ draining, job }: FleetMember) =>
    !draining && (job === null || job.phase === "loading");
  // A worker whose layout is not the job's is believed only after all others have reported theirs.
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
    ...{ jobId, startId, specHash, digest, committedAt, step: 0, attempt: 0, generation: 0, members: [] },
    ...{ labelCount: 0, loss: null, gradientNorm: null, maxAbs: "" },
    ...{ excluded: [], excludedTotal: 0, audits: NO_AUDITS },
  };
}

/** No worker can take part: reports that once, and gives up on a state that stays lost. */
function noneReady(context: StepContext, training: Training): Decision | null {
  const { fleet, stateLostAt, step, quarantined } = training;
  if (stateLostAt !== null) return restartIfLost(context, training, stateLostAt);
  const orReinstated = quarantined.size === 0 ? "" : ` (${[...quarantined].join(", ")} may be reinstated)`;
  const reason = fleet.members.length === 0
    ? `all workers are gone: the job waits at step ${step} for one to join${orReinstated}`
    : isStateStored(training)
    ? `no worker holds the state of step ${step - 1}: it is loaded from the coordinator`
    : `no worker has reported yet that it holds the state of step ${
      step - 1
    }: the job waits for one${orReinstated}`;
  return unchanged({ ...training, stateLostAt: context.now }, reason, [warning(sentence(reason))]);
}

/** Fresh workers are there but the state has been lost for too long: restarts from an earlier state or from the seed. */
export function restartIfLost(
  { now, limits }: StepContext,
  training: Training,
  since: number,
): Decision | null {
  const { freshAt, committed } = training;
  if (freshAt === null) return null;
  const { step } = committed!;
  if (isStateStored(training)) {
    // Fresh workers load it from the coordinator; if none of them can, waiting does not help.
    const waitMs = limits.stateLossGraceMs + recoverWaitMs(gradientBytesOf(training), limits);
    if (now - freshAt < waitMs) return null;
    return failJob(training, "corrupt", `no worker could load the stored state of step ${step}`);
  }
  if (now - since < limits.stateLossGraceMs) return null;
  const seconds = Math.round(limits.stateLossGraceMs / 1000);
  const reason = seconds === 0
    ? `no worker holds the state of step ${step} any more`
    : `no worker has come back with the state of step ${step} in ${seconds} s`;
  // Nothing more is announced of this start: workers find the next one in the fleet's state.
  return announced(training, { phase: "failed" }, reason, [{ type: "restart", reason }]);
}
