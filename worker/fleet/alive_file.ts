/** A file that each heartbeat renews: the health check of a container looks at its age. */
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
