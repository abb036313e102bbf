/**
 * Workers that get no work. A quarantine after a failed audit survives restarts until the worker is reinstated; strikes count
 * for one job in one process (decision 0012).
 */
import { z } from "zod";

/** Why a worker gets no work. */
export const quarantineSchema = z.strictObject({
  worker: z.string(),
  /** One sentence each, oldest first. */
  reasons: z.array(z.string()).readonly(),
  /** In milliseconds since 1970. */
  since: z.number(),
  /** The job that it was caught in. */
  jobId: z.string(),
  /** `jobEnds`: it got too many strikes in this job. `reinstated`: it computed wrong bits, which an operator has to look into. */
  until: z.enum(["jobEnds", "reinstated"]),
});
export type WorkerQuarantine = Readonly<z.output<typeof quarantineSchema>>;

/** Where the list survives restarts. */
export interface QuarantineStore {
  putQuarantine(quarantine: WorkerQuarantine): void;
  quarantines(): readonly WorkerQuarantine[];
  deleteQuarantine(worker: string): void;
}

export interface Quarantines {
  of(worker: string): WorkerQuarantine | null;
  workers(): ReadonlySet<string>;
  /** A worker already on the list keeps its earlier reasons, and the longer quarantine counts. */
  add(quarantine: WorkerQuarantine): void;
  /** Returns whether it was on the list. */
  lift(worker: string): boolean;
  /** Lifts the quarantines that last as long as the job. */
  jobEnded(jobId: string): void;
}

/** A store that forgets everything with its process. */
export function createMemoryQuarantineStore(): QuarantineStore {
  const kept = new Map<string, WorkerQuarantine>();
  return {
    putQuarantine: (quarantine) => void kept.set(quarantine.worker, quarantine),
    quarantines: () => [...kept.values()],
    deleteQuarantine: (worker) => void kept.delete(worker),
  };
}

export function createQuarantines(store: QuarantineStore): Quarantines {
  const byWorker = new Map(store.quarantines().map((quarantine) => [quarantine.worker, quarantine]));
  return {
    of: (worker) => byWorker.get(worker) ?? null,
    workers: () => new Set(byWorker.keys()),
    add(quarantine) {
      const { worker, reasons } = quarantine;
      const earlier = byWorker.get(worker);
      const merged: WorkerQuarantine = earlier === undefined ? quarantine : {
        ...earlier,
        reasons: [...earlier.reasons, ...reasons],
        until: earlier.until === "reinstated" ? earlier.until : quarantine.until,
      };
      byWorker.set(worker, merged);
      if (merged.until === "reinstated") store.putQuarantine(merged);
    },
    lift(worker) {
      store.deleteQuarantine(worker);
      return byWorker.delete(worker);
    },
    jobEnded(jobId) {
      for (const [worker, quarantine] of byWorker) {
        if (quarantine.until === "jobEnds" && quarantine.jobId === jobId) byWorker.delete(worker);
      }
    },
  };
}
