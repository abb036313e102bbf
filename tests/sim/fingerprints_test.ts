/**
 * Fleets in memory whose steps get a fingerprint wherever nobody is known to need their state (decision 0049). A fingerprint is
 * made to differ from the SHA-256 in its first digits, so that a state under one can be loaded by nobody.
 */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { createToyEngine, type ToyEngineOptions } from "../../worker/testing/toy_engine.ts";
import { SIM_LIMITS } from "./sim_worker.ts";
import { soak, type SoakOptions } from "./soak.ts";

const MARK = "f1f1f1f1";

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

function markedEngine(toy: ToyEngineOptions) {
  const engine = createToyEngine(toy);
  return {
    ...engine,
    async update(request: Parameters<typeof engine.update>[0]) {
      const result = await engine.update(request);
      const digest = request.digestKind === "fingerprint" ? MARK + result.digest.slice(8) : result.digest;
      return { ...result, digest };
    },
  };
}

const isMarked = (digest: string) => digest.startsWith(MARK);

async function run(change: Partial<SoakOptions>) {
  const { digests, ...result } = await soak({
    ...{ ...JOB, seed: 1, makeEngine: (_worker, toy) => markedEngine(toy) },
    ...change,
  });
  return { ...result, kinds: digests.map(isMarked), rests: digests.map((digest) => digest.slice(8)) };
}

const right = (await soak({ ...JOB, seed: 0, workerCount: 1 })).digests.map((digest) => digest.slice(8));

Deno.test("an undisturbed fleet has fingerprints but where an adapter is stored, and the digests' states are the same", async () => {
  const { kinds, rests } = await run({});
  assertEquals(rests, right);
  // Checkpoints: 5, 10 and the last.
  assertEquals(kinds.map((isMarked, i) => isMarked ? null : i + 1).filter((step) => step !== null), [
    5,
    10,
    12,
  ]);
});

Deno.test("whatever happens, workers find a state to load, and the state of every step is that of an undisturbed run", async () => {
  let marked = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const { kinds, rests } = await run({ seed, workerCount: 4, faultCount: 30 });
    assertEquals(rests, right, `seed ${seed}`);
    marked += kinds.filter((isMarked) => isMarked).length;
    assert(!kinds[11]);
  }
  assertGreater(marked, 12);
});
