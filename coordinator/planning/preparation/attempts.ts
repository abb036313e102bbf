/** Counts on disk the preparations that were begun but not ended, so that one that kills the process is not retried forever. */
export interface Attempts {
  /** Returns how many earlier processes have ended while they prepared the job. */
  begin(jobId: string): Promise<number>;
  /** The preparation has ended, in whatever way, and the process is still alive. */
  end(jobId: string): Promise<void>;
}

/** @param folder one small file for each job that is being prepared; created if missing */
export function createAttempts(folder: string): Attempts {
  const pathOf = (jobId: string) => `${folder}/${jobId}`;
  return {
    async begin(jobId) {
      const earlier = Number(await Deno.readTextFile(pathOf(jobId)).catch(() => "0")) || 0;
      try {
        await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
        await Deno.writeTextFile(pathOf(jobId), String(earlier + 1), { mode: 0o600 });
      } catch {
        // A full disk must not stop a preparation that may need none.
      }
      return earlier;
    },
    end: (jobId) => Deno.remove(pathOf(jobId)).catch(() => {}),
  };
}
