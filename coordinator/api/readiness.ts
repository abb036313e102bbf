/** What /readyz finds: everything that jobs need to be stored is written to, at most once a second however often it is asked. */
import type { Clock } from "../../shared/clock.ts";
import { messageOf } from "../../shared/errors.ts";
import type { ReadinessCheck } from "./routes/services.ts";

/** Each probe costs two syncs of the disk and a message at the broker. */
const KEPT_MS = 1000;

/** Rejects with what is wrong. */
export type Probes = Readonly<Record<string, () => unknown>>;

/** The function runs all probes, or gives what it found less than a second ago; whoever asks meanwhile waits for the same. */
export function createReadiness(
  clock: Pick<Clock, "now">,
  probes: Probes,
): () => Promise<readonly ReadinessCheck[]> {
  let kept: { readonly at: number; readonly found: Promise<readonly ReadinessCheck[]> } | null = null;
  const check = async (name: string, probe: () => unknown): Promise<ReadinessCheck> => {
    try {
      await probe();
      return { name, problem: null };
    } catch (thrown) {
      return { name, problem: messageOf(thrown) };
    }
  };
  return () => {
    if (kept === null || clock.now() - kept.at >= KEPT_MS) {
      const found = Promise.all(Object.entries(probes).map(([name, probe]) => check(name, probe)));
      kept = { at: clock.now(), found };
    }
    return kept.found;
  };
}
