/** Adds trackers to a job service: each job that asks for some is followed to its end, and over restarts beyond that. */
import type { Clock } from "../../shared/clock.ts";
import type { JobService } from "../jobs/job_service.ts";
import type { JobRecord } from "../jobs/record/job.ts";
import type { JobStore } from "../jobs/stores/job_store.ts";
import type { TrackerName } from "../job_request/tracking.ts";
import { deliverRun } from "./delivery/delivery.ts";
import { deliveryFile, NOTHING_DELIVERED, unfinishedDeliveries } from "./delivery/delivery_state.ts";
import { runFacts } from "./run/run_facts.ts";
import type { Trackers } from "./trackers.ts";

export interface TrackingOptions {
  readonly trackers: Trackers;
  /** Of the files that say how far each delivery is. */
  readonly folder: string;
  readonly workerHourPrice: number | null;
  readonly store: Pick<JobStore, "eventsSince" | "job" | "unfinishedJobs">;
  readonly clock: Clock;
  readonly onDefect: (message: string, thrown: unknown) => void;
}

/** The same service. Trackers only watch: nothing that they do is waited for. */
export function trackJobs(jobs: JobService, options: TrackingOptions): JobService {
  const { folder, store, onDefect } = options;
  const stopped = new AbortController();
  const running = new Map<string, Promise<void>>();

  const follow = (job: JobRecord, names: readonly TrackerName[]): void => {
    for (const name of names) {
      const key = `${job.id}.${name}`;
      if (running.has(key) || stopped.signal.aborted) continue;
      const delivered = deliver(jobs, options, job, name, stopped.signal)
        .catch((thrown) => onDefect(`${name} is no longer reported to for job ${job.id}`, thrown))
        .finally(() => running.delete(key));
      running.set(key, delivered);
    }
  };

  const resume = async (): Promise<void> => {
    for (const { jobId, tracker } of await unfinishedDeliveries(folder)) {
      const job = store.job(jobId);
      const name = job?.tracking?.reportTo.find((name) => name === tracker);
      if (job !== null && name !== undefined) follow(job, [name]);
    }
  };

  return {
    ...jobs,
    async create(...request) {
      const job = await jobs.create(...request);
      follow(job, job.tracking?.reportTo ?? []);
      return job;
    },
    start() {
      for (const job of store.unfinishedJobs()) follow(job, job.tracking?.reportTo ?? []);
      resume().catch((thrown) => onDefect("unfinished deliveries to trackers are not resumed", thrown));
      jobs.start();
    },
    async stop() {
      stopped.abort();
      await jobs.stop();
      await Promise.all(running.values());
    },
  };
}

async function deliver(
  jobs: JobService,
  { trackers, folder, store, clock, workerHourPrice }: TrackingOptions,
  job: JobRecord,
  name: TrackerName,
  signal: AbortSignal,
): Promise<void> {
  const { id, tracking, spec } = job;
  if (tracking === null) return;
  const file = deliveryFile(folder, id, name);
  const tracker = trackers[name];
  const note = (level: "info" | "warn", message: string) => jobs.record(id, level, message);
  const held = "missing" in tracker ? tracker.missing : tracker.settings.held;
  if ("missing" in tracker || held !== null) {
    const isNew = await file.load() === null;
    if (isNew) await file.save(NOTHING_DELIVERED);
    if (isNew) note("info", `The points for ${name} wait: ${held}.`);
    return;
  }
  if (await file.load() === null) await file.save(NOTHING_DELIVERED);
  await deliverRun({
    jobId: id,
    title: tracker.settings.title,
    open: (started) => tracker.settings.open(runFacts(started, tracking)),
    rule: {
      strategy: tracking.loggingStrategy,
      loggingSteps: spec.training.logging_steps,
      firstStep: tracking.loggingFirstStep,
      workerHourPrice,
    },
    ...{ file, store, clock, note, signal },
    watch: (listener) => jobs.watch(id, listener),
  });
}
