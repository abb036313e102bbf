/** A fleet in memory with local steps: whoever does the phases, and whatever happens to them, the adapter is the same. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { createFakeClock } from "../../shared/bus/fake_clock.ts";
import { LIMITS } from "../../shared/limits.ts";
import type { Engine } from "../../worker/engine/engine.ts";
import { createToyEngine } from "../../worker/toy_engine.ts";
import { createFleetInMemory, type FleetInMemory, type FleetInMemoryOptions } from "./fleet_in_memory.ts";
import { createToyJob } from "./toy_job.ts";

/** 22 data steps: three outer steps of 2 · 4, the last one of 6, whose replicas have 3 or fewer. */
const JOB = {
  totalSteps: 22,
  microBatchesPerStep: 2,
  checkpointEvery: 1,
  computeMs: [200, 400],
  seed: 1,
  localSteps: { inner_steps: 4, replicas: 2 },
} as const;

async function inFleet<T>(
  work: (fleet: FleetInMemory) => Promise<T>,
  change: Partial<FleetInMemoryOptions> = {},
): Promise<T> {
  const fleet = createFleetInMemory({ ...JOB, ...change });
  try {
    return await work(fleet);
  } finally {
    await fleet.close();
  }
}

async function undisturbed(workerCount: number, change: Partial<FleetInMemoryOptions> = {}) {
  return await inFleet(async (fleet) => {
    fleet.startCoordinator();
    for (let index = 0; index < workerCount; index++) fleet.startWorker();
    await fleet.finish(300_000);
    return [...fleet.steps];
  }, change);
}

const alone = await undisturbed(1);
const expected = alone.map(({ digest }) => digest);
