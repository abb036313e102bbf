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
  /** That of a handful of workers where it is left out. */
  readonly mix?: FaultMix;
  /** Within which the faults happen. */
  readonly faultsWithinMs: number;
  /** How long it may take, in the fleet's time. */
  readonly withinMs: number;
}

export interface SoakResult {
  /** Of each step, as it was committed last. */
  readonly digests: readonly string[];
  /** Commits, those that were done again after the loss of all state included. */
  readonly commitCount: number;
  readonly faults: readonly string[];
  /** SHA-256 over everything that happened, with its time. */
  readonly traceHash: string;
  readonly simulatedMs: number;
}

/** Throws with the end of the history where the job does not get done. */
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
    // Nobody can finish a job without a worker.
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
