/**
 * Where a job's training starts. In this order: after the newest commit of its log, if workers may still hold that state; after
 * the newest commit whose state is stored; without a log, from the newest stored state; from the initial adapter; from the seed.
 */
import type { CommitEntry } from "../../../shared/protocol/messages_coordinator.ts";
import * as subjects from "../../../shared/protocol/subjects.ts";
import type { InitialState } from "../../planning/initial_adapter.ts";
import type { PlannedJob } from "../../planning/planned_job.ts";
import type { StoredState } from "../../storage/artifact_store.ts";
import { DamagedFileError } from "../../storage/verified_file.ts";
import { sentence } from "../../training/decision.ts";
import { initialCommit } from "../../training/waiting.ts";
import type { JobObserver } from "../fleet.ts";
import { appendCommit, readCommits } from "../run/commit_log.ts";
import type { ReadableState, ResumedRun } from "../run/run_context.ts";
import type { FleetContext } from "./fleet_context.ts";

export interface JobStart {
  readonly startId: string;
  readonly resumed: ResumedRun | null;
}

/** A commit whose training state the coordinator has. */
interface StoredCommit {
  readonly entry: CommitEntry;
  readonly state: ReadableState;
}

/** Kept between two tries of `prepareStart`, the first of which may have deleted the log that it read. */
interface StartMemo {
  base?: StoredCommit | null;
}

type StartContext = Pick<FleetContext, "bus" | "clock" | "limits" | "artifacts" | "newStartId" | "onDefect">;

/** Makes the job's queue and log ready. May be repeated, with the same memo, if the broker fails. */
export async function prepareStart(
  context: StartContext,
  job: PlannedJob,
  observer: JobObserver,
  mayResume: boolean,
  memo: StartMemo,
): Promise<JobStart> {
  const { bus, clock, limits, newStartId } = context;
  const [queue, log] = [subjects.workQueueName(job.id), subjects.commitLogName(job.id)];
  await bus.ensureStream(log, subjects.commitsSubject(job.id));
  const commits = await readCommits(bus, job.id);
  const newest = commits.at(-1);
  const isOurs = commits.every(({ entry }) =>
    entry.specHash === job.specHash && entry.startId === newest!.entry.startId
  );
  // Its items belong to an attempt that no run knows any more.
  await bus.deleteQueue(queue);
  await bus.ensureQueue(queue, [subjects.allWorkSubject(job.id)], { ackWaitMs: limits.microBatchAckWaitMs });
  const entries = commits.map(({ entry }) => entry);
  if (mayResume && isOurs && newest !== undefined) {
    const { entry, sequence } = newest;
    const { step: reportedStep, checkpointSteps, evaluations = [] } = await observer.starting(entry.step);
    const unreported = entries.filter(({ step }) => step > reportedStep);
    const adapter = checkpointSteps.includes(entry.step) &&
      await isAdapterStored(context, job.id, entry.step);
    const isInitial = entry.step === (job.initial?.step ?? 0);
    const state = isInitial ? job.initial ?? null : await stateOf(context, job.id, entry, observer);
    const stored = { adapter, state };
    return { startId: entry.startId, resumed: { entry, sequence, unreported, stored, evaluations } };
  }

  const base = memo.base ??= (isOurs ? await newestStored(context, job.id, entries, observer) : null) ??
    (entries.length === 0 ? await baseWithoutLog(job, observer, clock.now()) : null) ??
    initialBase(job, clock.now());
  await bus.deleteStream(log);
  await bus.ensureStream(log, subjects.commitsSubject(job.id));
  const startId = newStartId();
  const { checkpointSteps, evaluations = [] } = await observer.starting(base?.entry.step ?? 0);
  if (base === null) return { startId, resumed: null };
  const entry = { ...base.entry, startId };
  const sequence = await appendCommit(bus, entry, 0);
  const adapter = checkpointSteps.includes(entry.step) && await isAdapterStored(context, job.id, entry.step);
  const stored = { adapter, state: base.state };
  return { startId, resumed: { entry, sequence, unreported: [], stored, evaluations } };
}

/**
 * The first commit of a job that trains on from an earlier job's adapter (step 0), or from its whole state: workers load it from the
 * coordinator.
 */
function initialBase(job: PlannedJob, now: number): StoredCommit | null {
  const { initial = null } = job;
  return initial === null ? null : firstCommit(job, initial, now);
}

/** The broker's store is gone, or the data folder has come from a backup, which has none. */
async function baseWithoutLog(
  job: PlannedJob,
  observer: JobObserver,
  now: number,
): Promise<StoredCommit | null> {
  const state = await job.storedState?.() ?? null;
  if (state === null) return null;
  const message =
    "The broker has no log of this job: training goes on from the newest stored state, that of step " +
    `${state.step}.`;
  observer.event("warn", message);
  return firstCommit(job, state, now);
}

function firstCommit({ id, specHash }: PlannedJob, state: InitialState, now: number): StoredCommit {
  const entry = initialCommit({ jobId: id, startId: "", specHash }, state.digest, now);
  const { step = 0, maxAbs = "" } = state;
  return { entry: { ...entry, step, maxAbs }, state };
}

/** Whether the adapter's files are as they were stored; if not, a worker writes them again. */
async function isAdapterStored(
  { artifacts, onDefect }: StartContext,
  jobId: string,
  step: number,
): Promise<boolean> {
  const files = await artifacts.files(jobId, step);
  try {
    for (const file of files) await artifacts.path(jobId, step, file);
    return files.length > 0;
  } catch (thrown) {
    onDefect(`the adapter of step ${step} of job ${jobId} is stored no more`, thrown);
    return false;
  }
}

async function newestStored(
  context: StartContext,
  jobId: string,
  commits: readonly CommitEntry[],
  observer: JobObserver,
): Promise<StoredCommit | null> {
  for (const entry of commits.toReversed()) {
    const state = await stateOf(context, jobId, entry, observer);
    if (state !== null) return { entry, state };
  }
  return null;
}

/** The stored training state of a commit. Step 0 has none: it follows from the seed. */
async function stateOf(
  { artifacts }: StartContext,
  jobId: string,
  { step }: CommitEntry,
  observer: JobObserver,
): Promise<StoredState | null> {
  try {
    return step === 0 ? null : await artifacts.state(jobId, step);
  } catch (thrown) {
    if (!(thrown instanceof DamagedFileError)) throw thrown;
    observer.event("warn", sentence(`${thrown.message}; training cannot go on from there`));
    return null;
  }
}
