/** What a coordinator of our own still owes trackers: it ends with the command, and its folder goes. */
import type { Clock } from "../../shared/clock.ts";

const [PATIENCE_MS, POLL_MS] = [10_000, 200];

/**
 * The trackers that have not got all points of a job, once there is none or after ten seconds.
 * @param folder of the coordinator's deliveries: a file `<job>.<tracker>.json` for each that is unfinished
 */
export async function undelivered(
  folder: string,
  jobId: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<string[]> {
  const deadline = clock.now() + PATIENCE_MS;
  for (;;) {
    const owed = await owedIn(folder, jobId);
    if (owed.length === 0 || clock.now() >= deadline) return owed;
    await clock.sleep(POLL_MS, signal);
  }
}

async function owedIn(folder: string, jobId: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(folder)).catch((thrown) => {
    // No job has asked for a tracker.
    if (thrown instanceof Deno.errors.NotFound) return [];
    throw thrown;
  });
  return entries.flatMap(({ name }) => {
    const [job, tracker, ending, ...rest] = name.split(".");
    return job === jobId && ending === "json" && rest.length === 0 ? [tracker!] : [];
  }).sort();
}
