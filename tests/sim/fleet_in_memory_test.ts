import { assert, assertEquals, assertMatch } from "@std/assert";
import { createFleetInMemory, type FleetInMemory } from "./fleet_in_memory.ts";
import type { FleetInMemoryOptions } from "./sim_worker.ts";
import { digestsOf, testNamedFaults } from "./named_faults.ts";

const JOB = {
  totalSteps: 6,
  microBatchesPerStep: 6,
  checkpointEvery: 2,
  computeMs: [200, 400],
  seed: 1,
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

/** Of a run in which nothing goes wrong: the digest of each step. */
async function undisturbed(workerCount: number): Promise<string[]> {
  return await inFleet(async (fleet) => {
    fleet.startCoordinator();
    for (let index = 0; index < workerCount; index++) fleet.startWorker();
    await fleet.finish(120_000);
    return fleet.steps.map(({ digest }) => digest);
  });
}

const expected = await undisturbed(1);

Deno.test("one worker or five: the same digest at every step", async () => {
  assertEquals(expected.length, JOB.totalSteps);
  assertEquals(await undisturbed(5), expected);
});

Deno.test("the same seed gives the same history", async () => {
  const histories = await Promise.all([1, 2].map(() =>
    inFleet(async (fleet) => {
      fleet.startCoordinator();
      for (let index = 0; index < 3; index++) fleet.startWorker();
      await fleet.clock.advance(2000);
      fleet.kill(fleet.workers[1]!);
      await fleet.finish(120_000);
      return [...fleet.history];
    })
  ));
  assertEquals(histories[0], histories[1]);
});

testNamedFaults("digests", [100, 900, 1700, 2500, 3100, 4300], expected, inFleet);

Deno.test("bad weather: messages are lost, doubled and changed all the time", async () => {
  await inFleet(async (fleet) => {
    fleet.startCoordinator();
    for (let index = 0; index < 3; index++) {
      fleet.startWorker().link.weather = { drop: 0.05, duplicate: 0.05, corrupt: 0.02 };
    }
    await fleet.finish(300_000);
    assertEquals(digestsOf(fleet), expected);
  });
});

Deno.test("all workers are lost after a checkpoint: training goes on from its state, not from the beginning", async () => {
  await inFleet(async (fleet) => {
    fleet.startCoordinator();
    fleet.startWorker();
    while (fleet.steps.length < 3) await fleet.clock.advance(50);
    fleet.kill(fleet.workers[0]!);
    fleet.startWorker();
    await fleet.finish(300_000);
    assertEquals(digestsOf(fleet), expected);
    assertEquals(fleet.steps.map(({ step }) => step), [1, 2, 3, 3, 4, 5, 6]);
    assert(fleet.history.some((line) => /starts after step 2/.test(line)), fleet.history.join("\n"));
    assertMatch(fleet.history.join("\n"), /no worker has come back with the state of step 3/);
  });
});

Deno.test("the coordinator dies before it has written down the last checkpoint: the workers still have the job", async () => {
  let deaths = 0;
  let die = () => {};
  await inFleet(async (fleet) => {
    die = () => {
      deaths++;
      fleet.killCoordinator();
    };
    fleet.startCoordinator();
    for (let index = 0; index < 2; index++) fleet.startWorker();
    while (deaths === 0) await fleet.clock.advance(50);
    await fleet.clock.advance(500);
    fleet.startCoordinator();
    await fleet.finish(120_000);
    assertEquals([digestsOf(fleet), deaths], [expected, 1]);
  }, { onCheckpoint: (step) => step === JOB.totalSteps && deaths === 0 && die() });
});

Deno.test("a stored adapter that is found damaged is written again while a worker holds its state, and not later", async () => {
  await inFleet(async (fleet) => {
    fleet.startCoordinator();
    for (let index = 0; index < 3; index++) fleet.startWorker();
    const stored = (step: number) =>
      fleet.history.filter((line) => line.includes(`the adapter of step ${step} is stored`)).length;
    while (stored(2) === 0) await fleet.clock.advance(10);
    while (!fleet.checkpointDamaged(2)) await fleet.clock.advance(10);
    assertEquals(fleet.steps.length, 2);
    while (stored(2) === 1) await fleet.clock.advance(10);
    while (fleet.steps.length === 2) await fleet.clock.advance(10);
    assertEquals(fleet.checkpointDamaged(2), false);
    await fleet.finish(120_000);
    assertEquals(fleet.steps.map(({ digest }) => digest), expected);
    assert(
      fleet.history.some((line) => /the stored adapter of step 2 is damaged and is written again/.test(line)),
    );
  });
});
