/** One run of a fleet in memory under the faults of a seed, to its end. */
import { createHash } from "node:crypto";
import { pcg32 } from "../../shared/prng.ts";
import { createFleetInMemory } from "./fleet_in_memory.ts";
import type { FleetInMemoryOptions } from "./sim_worker.ts";
import { apply, drawFaults, type FaultMix } from "./fault_plan.ts";

export interface SoakOptions extends Omit<FleetInMemoryOptions, "seed"> {
  readonly seed: number;
  readonly workerCount: number;
  readonly faultCount: number;
  /** Left out: that of a handful of workers. */
  readonly mix?: FaultMix;
  /** Time over which faults are spread. */
  readonly faultsWithinMs: number;
  /** Limit of the run, in the fleet's time. */
  readonly withinMs: number;
}

export interface SoakResult {
  /** One per step, of its last commit. */
  readonly digests: readonly string[];
  /** Including commits repeated after the loss of all state. */
  readonly commitCount: number;
  readonly faults: readonly string[];
  /** SHA-256 over the history. */
  readonly traceHash: string;
  readonly simulatedMs: number;
}

/** Throws with the end of the history if the job does not finish. */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { seed, workerCount, faultCount, faultsWithinMs, withinMs } = options;
  const fleet = createFleetInMemory(options);
  const { clock } = fleet;
  const startedAt = clock.now();
  const faults: string[] = [];
  try {
    fleet.startCoordinator();
    for (let index = 0; index < workerCount; index++) fleet.startWorker();
    for (const { atMs, fault } of drawFaults(pcg32(seed, 1), faultCount, faultsWithinMs, options.mix)) {
      if (fleet.isDone) break;
      await clock.advance(startedAt + atMs - clock.now());
      faults.push(`${atMs} ${apply(fleet, fault)}`);
    }
    // A job without a worker never ends.
    if (!fleet.isDone && !fleet.workers.some(({ isAlive, isDrained }) => isAlive && !isDrained)) {
      fleet.startWorker();
    }
    await fleet.finish(withinMs);
    const newest = new Map(fleet.steps.map(({ step, digest }) => [step, digest]));
    return {
      digests: [...newest.entries()].sort(([a], [b]) => a - b).map(([, digest]) => digest),
      commitCount: fleet.steps.length,
      faults,
      traceHash: createHash("sha256").update(fleet.history.join("\n")).digest("hex"),
      simulatedMs: clock.now() - startedAt,
    };
  } catch (thrown) {
    throw new Error(`${thrown instanceof Error ? thrown.message : thrown}\nfaults:\n${faults.join("\n")}`);
  } finally {
    await fleet.close();
  }
}
