/**
 * Workers that get no work. A quarantine after a failed audit survives restarts until the worker is reinstated; strikes count
 * for one job in one process (decision 0012).
 */

/** Why a worker gets no work. */
export interface WorkerQuarantine {
  readonly worker: string;
  /** One sentence each, oldest first. */
  readonly reasons: readonly string[];
  /** In milliseconds since 1970. */
  readonly since: number;
  /** The job that it was caught in. */
  readonly jobId: string;
  /** `jobEnds`: it got too many strikes in this job. `reinstated`: it computed wrong bits, which an operator has to look into. */
  readonly until: "jobEnds" | "reinstated";
}

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
