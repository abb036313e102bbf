/** Trains a job: one run after the other, until one is done. */
import { createBrokerPatience } from "../../broker/broker_patience.ts";
import { announcementOf } from "../../planning/job_announcement.ts";
import type { PlannedJob } from "../../planning/planned_job.ts";
import type { JobObserver } from "../fleet.ts";
import type { TrainingRunOptions } from "../run/run_context.ts";
import { startTrainingRun } from "../run/training_run.ts";
import type { FleetContext } from "./fleet_context.ts";
import { type JobStart, prepareStart } from "./job_start.ts";
import { reportQuarantine } from "./members.ts";
import { fleetViewOf } from "./membership.ts";

/** Runs of one coordinator, which share its term's part of the terms of runs. */
const MAX_RUNS = 2 ** 20;

export async function trainJob(
  fleet: FleetContext,
  job: PlannedJob,
  observer: JobObserver,
  signal: AbortSignal,
): Promise<void> {
  fleet.observer = observer;
  try {
    for (let mayResume = true; await trainOnce(fleet, job, observer, signal, mayResume) === "restart";) {
      mayResume = false;
      signal.throwIfAborted();
    }
  } finally {
    fleet.observer = null;
    fleet.quarantines.jobEnded(job.id);
  }
}

async function trainOnce(
  fleet: FleetContext,
  job: PlannedJob,
  observer: JobObserver,
  signal: AbortSignal,
  mayResume: boolean,
): Promise<"done" | "restart"> {
  // The last run of a job that is paused and resumed at once must not purge the new run's queue.
  if (fleet.closedRun !== null) await unlessLate(fleet, fleet.closedRun.run.settled());
  const start = await startAt(fleet, job, observer, signal, mayResume);
  const layout = fleet.layoutOf === undefined ? null : await fleet.layoutOf(job);
  signal.throwIfAborted();
  const { members } = fleet.membership;
  for (const { worker } of members) reportQuarantine(fleet, observer, worker);
  if (members.length === 0) observer.event("info", "The job waits for a worker to join.");
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  fleet.job = announcementOf(job, start.startId);
  fleet.announcement.now();
  const run = startTrainingRun(runOptions(fleet, job, observer, { ...start, layout }));
  fleet.run = run;
  // Gradient bytes are counted from a worker's first heartbeat on.
  for (const { heartbeat } of fleet.membership.members) if (heartbeat !== null) run.heard(heartbeat, null);
  try {
    return await Promise.race([run.outcome, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    run.outcome.catch(() => {});
    run.close();
    fleet.closedRun = { jobId: job.id, run };
    fleet.run = null;
  }
}

/** Waits, but not for a broker that is away: what is not done by then is left behind. */
async function unlessLate({ clock, limits }: FleetContext, done: Promise<void>): Promise<void> {
  const waiting = new AbortController();
  await Promise.race([done, clock.sleep(limits.transferBaseMs, waiting.signal).catch(() => {})]);
  waiting.abort();
}

/** Rejects with the reason of an abort. */
async function startAt(
  fleet: FleetContext,
  job: PlannedJob,
  observer: JobObserver,
  signal: AbortSignal,
  mayResume: boolean,
): Promise<JobStart> {
  const { clock, limits, health } = fleet;
  const patience = createBrokerPatience({
    ...{ clock, limits, signal, mend: () => Promise.resolve() },
    report: (problem) => health.report(job.id, problem),
  });
  const memo = {};
  const start = await patience.insist(
    () => prepareStart(fleet, job, observer, mayResume, memo),
    () => fleet.signal.aborted,
  );
  signal.throwIfAborted();
  fleet.signal.throwIfAborted();
  return start!;
}

function runOptions(
  fleet: FleetContext,
  job: PlannedJob,
  observer: JobObserver,
  start: Pick<TrainingRunOptions, "startId" | "resumed" | "layout">,
): TrainingRunOptions {
  const { bus, clock, limits, artifacts, guard, health, quarantines, onDefect } = fleet;
  return {
    ...start,
    ...{ bus, clock, limits, artifacts, guard, job, observer, onDefect },
    checkKey: fleet.newCheckKey(),
    term: fleet.term * MAX_RUNS + ++fleet.runCount,
    fleet: fleetViewOf(fleet.membership),
    quarantined: quarantines.workers(),
    onBrokerTrouble: (problem) => health.report(job.id, problem),
    onQuarantine: ({ worker, reasons, until }) => {
      try {
        quarantines.add({ worker, reasons, until, since: clock.now(), jobId: job.id });
      } catch (thrown) {
        onDefect(`the quarantine of ${worker} holds, but not beyond the end of this coordinator`, thrown);
      }
    },
  };
}
