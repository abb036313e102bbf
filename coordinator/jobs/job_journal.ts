/**
 * The stored state of all jobs as the job service changes it: each decision is stored together with its event, writes that
 * no client waits for survive a full disk, and listeners run after each change.
 */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import type { JobRecord } from "./record/job.ts";
import { decideJob, type JobTransition } from "./record/job_transition.ts";
import type { JobStore, NewJobEvent } from "./stores/job_store.ts";
import { createPatientWrites, type PatientWritesOptions } from "./stores/patient_writes.ts";

export interface JobJournal {
  /** Throws `not_found`. */
  get(id: string): JobRecord;
  /** Decides on the job as it is stored now; the event's default message is the decision's reason. Throws `conflict`. */
  apply(id: string, transition: JobTransition, event?: EventDetails): JobRecord;
  /** Runs `write` once the disk accepts it; see `PatientWrites.add`. */
  write<T>(write: () => T, signal: AbortSignal): Promise<T>;
  /** As `write`, for callers that do not wait for it. An abort of `signal` drops it. */
  writeSoon(write: () => void, signal?: AbortSignal): void;
  /** Adds an event. */
  record(jobId: string, level: NewJobEvent["level"], message: string, data?: NewJobEvent["data"]): void;
  /** Runs `listener` after every change of the job or its events, until the result is called. */
  watch(id: string, listener: () => void): () => void;
  /** Drops what the disk refuses. */
  close(): void;
}

export type EventDetails = Partial<Pick<NewJobEvent, "level" | "type" | "message" | "data">>;

interface JobJournalOptions {
  readonly store: JobStore;
  readonly clock: Clock;
  readonly log: PatientWritesOptions["log"];
  readonly onDefect: (message: string, thrown: unknown) => void;
  /** Called after each transition, before the listeners. */
  readonly onChange: (job: JobRecord) => void;
  /** Called when the disk accepts records again. */
  readonly onDelayOver: (waitedMs: number) => void;
}

export function createJobJournal(options: JobJournalOptions): JobJournal {
  const { store, clock, log, onDefect, onChange, onDelayOver } = options;
  const listeners = new Map<string, Set<() => void>>();
  const writes = createPatientWrites({ clock, log, onOver: onDelayOver });

  const get = (id: string): JobRecord => {
    const job = store.job(id);
    if (job !== null) return job;
    throw new LoraFleetError("not_found", `no such job: ${quote(id)}`, { param: "fine_tuning_job_id" });
  };

  const notify = (id: string): void => {
    for (const listener of [...listeners.get(id) ?? []]) listener();
  };

  const writeSoon = (write: () => void, signal?: AbortSignal): void => {
    writes.add(write, signal).catch((thrown) => {
      const isDropped = thrown instanceof LoraFleetError && thrown.code === "aborted";
      if (!isDropped) onDefect("a record is not written", thrown);
    });
  };

  return {
    get,

    apply(id, transition, event = {}) {
      const now = clock.now();
      const { job, reason } = decideJob(get(id), transition, now);
      store.putJob(job, [
        { jobId: id, createdAt: now, level: "info", type: "message", message: reason, data: null, ...event },
      ]);
      onChange(job);
      notify(id);
      return job;
    },

    write: writes.add,
    writeSoon,

    record(jobId, level, message, data = null) {
      const event = { jobId, createdAt: clock.now(), level, type: "message", message, data } as const;
      writeSoon(() => {
        store.appendEvents([event]);
        notify(jobId);
      });
    },

    watch(id, listener) {
      const watchers = listeners.get(id) ?? new Set();
      listeners.set(id, watchers.add(listener));
      return () => {
        watchers.delete(listener);
        if (watchers.size === 0 && listeners.get(id) === watchers) listeners.delete(id);
      };
    },

    close: writes.close,
  };
}
