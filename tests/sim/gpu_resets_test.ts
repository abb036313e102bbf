/** A fleet in memory whose GPUs reset: whoever's, whenever, nobody leaves, no step is computed twice, and the digests stay. */
import { assert, assertEquals } from "@std/assert";
import { ResettingEngine } from "../../worker/engine/resetting_engine.ts";
import { losingEngine, type LossAt } from "../../worker/testing/losing_engine.ts";
import { createFleetInMemory } from "./fleet_in_memory.ts";
import type { FleetInMemoryOptions } from "./sim_worker.ts";

const JOB = {
  totalSteps: 6,
  microBatchesPerStep: 4,
  checkpointEvery: 2,
  computeMs: [200, 400],
  seed: 3,
} as const;

async function run(losses: Readonly<Record<string, LossAt>>, change: Partial<FleetInMemoryOptions> = {}) {
  const fleet = createFleetInMemory({
    ...JOB,
    makeEngine: (worker, toy, tell) => {
      const lossAt = losses[worker];
      if (lossAt === undefined) return null;
      return new ResettingEngine(losingEngine(toy.clock, lossAt, toy).engine, { clock: toy.clock, tell });
    },
    ...change,
  });
  try {
    fleet.startCoordinator();
    for (let index = 0; index < 3; index++) fleet.startWorker();
    await fleet.finish(600_000);
    const digests = fleet.steps.map(({ digest }) => digest);
    const attempts = fleet.steps.map(({ attempt }) => attempt);
    return { digests, attempts, history: fleet.history };
  } finally {
    await fleet.close();
  }
}

const at = (...numbers: number[]): LossAt => (number) => numbers.includes(number);
const calm = await run({});

Deno.test("one GPU is lost at any of its first calls: same digests, same attempts", async () => {
  for (let call = 2; call <= 14; call++) {
    const { digests, attempts, history } = await run({ "w-1": at(call) });
    assertEquals(digests, calm.digests, `lost at call ${call}`);
    assertEquals(attempts, calm.attempts, `lost at call ${call}`);
    assert(history.some((line) => line.includes("the GPU was reset")), `call ${call} comes`);
    assert(!history.some((line) => line.includes("dropped by the coordinator")));
  }
});

Deno.test("all GPUs are lost at the same time, one of them twice", async () => {
  const { digests } = await run({ "w-0": at(9), "w-1": at(8, 10), "w-2": at(9) });
  assertEquals(digests, calm.digests);
});

Deno.test("local steps: a GPU that is lost within an inner loop changes nothing", async () => {
  const fleet = {
    local_steps: { inner_steps: 2, replicas: 2, outer_learning_rate: 0.7, outer_momentum: 0.9 },
  };
  const local = await run({}, { fleet });
  for (const call of [4, 7, 11]) {
    assertEquals((await run({ "w-1": at(call) }, { fleet })).digests, local.digests, `lost at call ${call}`);
  }
});
