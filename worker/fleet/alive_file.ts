/** A file that each heartbeat renews: the health check of a container looks at its age. It may say instead why there is none. */
import type { Clock } from "../../shared/clock.ts";

const INTERVAL_MS = 5000;

/** To be called after each heartbeat; writes the time into the file at most every five seconds. */
export function createAliveFile(
  path: string,
  clock: Pick<Clock, "now">,
  onFailure: (thrown: unknown) => void,
): () => void {
  let writtenAt = -Infinity;
  return () => {
    const now = clock.now();
    if (now - writtenAt < INTERVAL_MS) return;
    writtenAt = now;
    Deno.writeTextFile(path, `${new Date(now).toISOString()}\n`).catch(onFailure);
  };
}

/** What an earlier life of this container has left is no news of this one. */
export async function forgetEarlierLife(path: string): Promise<void> {
  await Deno.remove(path).catch(() => {});
}

/** Before the process ends: the health check says `reason` instead of an age. */
export async function showFailure(path: string, reason: string): Promise<void> {
  await Deno.writeTextFile(path, `${reason}\n`);
}
