/**
 * The fleet's list of workers that get no work. An audit that finds a worker wrong is kept over restarts, until somebody
 * reinstates it; strikes count for one job in one process (decision 0012).
 */

/** Why a worker gets no work. */
export interface WorkerQuarantine {
  readonly worker: string;
  /** One sentence each, oldest first. */
  readonly reasons: readonly string[];
  /** In milliseconds since 1970. */
  readonly since: number;
  /** The job in which it was found out. */
  readonly jobId: string;
  /** `jobEnds`: it was to blame for too much in this job. `reinstated`: its bits are wrong, and somebody has to look at it. */
  readonly until: "jobEnds" | "reinstated";
}

/** Where the list outlives the coordinator. */
export interface QuarantineStore {
  putQuarantine(quarantine: WorkerQuarantine): void;
  quarantines(): readonly WorkerQuarantine[];
  deleteQuarantine(worker: string): void;
}

export interface Quarantines {
  of(worker: string): WorkerQuarantine | null;
  workers(): ReadonlySet<string>;
  /** A worker that is on the list already keeps its earlier reasons; the longer quarantine counts. */
  add(quarantine: WorkerQuarantine): void;
  /** Whether it was on the list. */
  lift(worker: string): boolean;
  /** Forgets those that were to last as long as the job. */
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
