/**
 * Fleets in memory whose steps get a fingerprint wherever nobody is known to need their state (decision 0049).
 */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { FINGERPRINT_MARK, isFingerprint } from "../../shared/protocol/state/state_digest.ts";
import { createFleetInMemory } from "./fleet_in_memory.ts";
import { SIM_LIMITS } from "./sim_worker.ts";
import { soak, type SoakOptions } from "./soak.ts";

const JOB: Omit<SoakOptions, "seed"> = {
  totalSteps: 12,
  microBatchesPerStep: 6,
  checkpointEvery: 5,
  computeMs: [100, 500],
  workerCount: 3,
  faultCount: 0,
  faultsWithinMs: 30_000,
  withinMs: 900_000,
  limits: { ...SIM_LIMITS, sha256FreeMs: 0, sha256ShareOfStep: 0 },
};

/** What both kinds have in common in an engine of tests. */
const restOf = (digest: string) => digest.slice(FINGERPRINT_MARK.length);

async function run(change: Partial<SoakOptions>) {
  const { digests } = await soak({ ...JOB, seed: 1, ...change });
  return { kinds: digests.map(isFingerprint), rests: digests.map(restOf) };
}

const right = (await soak({ ...JOB, seed: 0, workerCount: 1 })).digests.map(restOf);

Deno.test("an undisturbed fleet has fingerprints but where an adapter is stored, and the digests' states are the same", async () => {
  const { kinds, rests } = await run({});
  assertEquals(rests, right);
  // Checkpoints: 5, 10 and the last.
  assertEquals(kinds.flatMap((isCheap, i) => isCheap ? [] : [i + 1]), [
    5,
    10,
    12,
  ]);
});

Deno.test("whatever happens, workers find a state to load, and the state of every step is that of an undisturbed run", async () => {
  let cheap = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const { kinds, rests } = await run({ seed, workerCount: 4, faultCount: 30 });
    assertEquals(rests, right, `seed ${seed}`);
    cheap += kinds.filter((isCheap) => isCheap).length;
    assert(!kinds[11]);
  }
  assertGreater(cheap, 12);
});

Deno.test("workers that are replaced all at once, the new ones first, lose no step", async () => {
  const { totalSteps, limits } = JOB;
  for (const [seed, afterMs] of [[1, 0], [2, 50], [3, 150], [4, 300]] as const) {
    const fleet = createFleetInMemory({ ...JOB, checkpointEvery: totalSteps, seed });
    try {
      fleet.startCoordinator();
      for (let index = 0; index < 3; index++) fleet.startWorker();
      await fleet.clock.advance(2000 + 300 * seed);
      const former = [...fleet.workers];
      for (const _ of former) fleet.startWorker();
      await fleet.clock.advance(afterMs);
      for (const worker of former) worker.drain();
      await fleet.finish(limits!.stateLossGraceMs);
      assertEquals(fleet.steps.map(({ digest }) => restOf(digest)), right, `seed ${seed}`);
      assert(fleet.steps.some(({ digest }) => isFingerprint(digest)));
    } finally {
      await fleet.close();
    }
  }
});
