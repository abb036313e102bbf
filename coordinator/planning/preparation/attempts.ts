/**
 * Which preparations this process began and has not ended, on disk: one that takes the whole process with it is not tried
 * for ever, at each restart again.
 */
export interface Attempts {
  /** How many earlier processes have ended while they prepared the job. */
  begin(jobId: string): Promise<number>;
  /** However it has ended, the process is still there. */
  end(jobId: string): Promise<void>;
}

/** @param folder one small file for each job that is being prepared; made where it is missing */
export function createAttempts(folder: string): Attempts {
  const pathOf = (jobId: string) => `${folder}/${jobId}`;
  return {
    async begin(jobId) {
      const earlier = Number(await Deno.readTextFile(pathOf(jobId)).catch(() => "0")) || 0;
      try {
        await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
        await Deno.writeTextFile(pathOf(jobId), String(earlier + 1), { mode: 0o600 });
      } catch {
        // A full disk must not keep a job from what may well need none.
      }
      return earlier;
    },
    end: (jobId) => Deno.remove(pathOf(jobId)).catch(() => {}),
  };
}
