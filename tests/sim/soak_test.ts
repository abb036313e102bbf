import { assertEquals, assertNotEquals } from "@std/assert";
import { MIX_WITH_PAUSES } from "./fault_plan.ts";
import { soak, type SoakOptions } from "./soak.ts";

const JOB: Omit<SoakOptions, "seed"> = {
  totalSteps: 10,
  microBatchesPerStep: 8,
  checkpointEvery: 3,
  computeMs: [100, 500],
  workerCount: 4,
  faultCount: 40,
  faultsWithinMs: 30_000,
  withinMs: 900_000,
};

const undisturbed = await soak({ ...JOB, seed: 0, faultCount: 0, workerCount: 1 });

Deno.test("whatever happens, the digest of every step is that of an undisturbed run", async () => {
  for (let seed = 1; seed <= 25; seed++) {
    const { digests } = await soak({ ...JOB, seed });
    assertEquals(digests, undisturbed.digests, `seed ${seed}`);
  }
});

Deno.test("also if the job is paused and resumed under the same coordinator, and the coordinator stalls", async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { digests } = await soak({ ...JOB, seed, mix: MIX_WITH_PAUSES });
    assertEquals(digests, undisturbed.digests, `seed ${seed}`);
  }
});

Deno.test("a seed replays to the same trace, a different one does not", async () => {
  const [first, again, other] = [
    await soak({ ...JOB, seed: 7 }),
    await soak({ ...JOB, seed: 7 }),
    await soak({ ...JOB, seed: 8 }),
  ];
  assertEquals(first, again);
  assertNotEquals(first.traceHash, other.traceHash);
});
