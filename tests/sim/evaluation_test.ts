import { assert, assertEquals } from "@std/assert";
import type { EvaluationOutcome } from "../../coordinator/planning/evaluation/selection.ts";
import { createFleetInMemory, type FleetInMemory } from "./fleet_in_memory.ts";
import type { FleetInMemoryOptions } from "./sim_worker.ts";

const JOB: Omit<FleetInMemoryOptions, "seed"> = {
  ...{ totalSteps: 8, microBatchesPerStep: 4, checkpointEvery: 4, computeMs: [40, 160] },
};
const EVALUATION = { microBatchCount: 6, every: 2 };

interface Finished {
  readonly digests: readonly string[];
  readonly losses: readonly (number | null)[];
  readonly outcomes: readonly EvaluationOutcome[];
  readonly history: readonly string[];
}

/** @param disturb runs beside the job */
async function finished(
  options: Partial<FleetInMemoryOptions>,
  workers = 3,
  disturb: (fleet: FleetInMemory) => Promise<void> = () => Promise.resolve(),
): Promise<Finished> {
  const fleet = createFleetInMemory({ seed: 5, ...JOB, ...options });
  try {
    fleet.startCoordinator();
    for (let i = 0; i < workers; i++) fleet.startWorker();
    await disturb(fleet);
    await fleet.finish(600_000);
    const byStep = new Map(fleet.evaluations.map((outcome) => [outcome.step, outcome]));
    const outcomes = [...byStep.values()].sort((a, b) => a.step - b.step);
    return {
      digests: fleet.steps.map(({ digest }) => digest),
      losses: outcomes.map(({ loss }) => loss),
      outcomes,
      history: fleet.history,
    };
  } finally {
    await fleet.close();
  }
}

/** Lets time pass until an evaluation has results, but not all. */
async function untilMidEvaluation(fleet: FleetInMemory, step: number): Promise<void> {
  const isBusy = () =>
    fleet.history.some((line) => line.includes(`step ${step} is committed`)) &&
    !fleet.evaluations.some((outcome) => outcome.step === step);
  while (!isBusy()) await fleet.clock.advance(10);
  await fleet.clock.advance(100);
  assert(isBusy(), "the evaluation is over already");
}

Deno.test("the adapter has the same bits with and without evaluation, and so have the losses of any fleet", async () => {
  const without = await finished({}, 3);
  const with3 = await finished({ evaluation: EVALUATION }, 3);
  const with1 = await finished({ evaluation: { ...EVALUATION, onStart: true } }, 1);
  const other = await finished({ evaluation: EVALUATION, seed: 77, computeMs: [10, 900] }, 4);
  for (const fleet of [with3, with1, other]) assertEquals(fleet.digests, without.digests);
  assertEquals(without.outcomes, []);
  assertEquals(with3.outcomes.map(({ step }) => step), [2, 4, 6, 8]);
  assertEquals(with1.outcomes.map(({ step }) => step), [0, 2, 4, 6, 8]);
  assertEquals(other.losses, with3.losses);
  assertEquals(with1.losses.slice(1), with3.losses);
  assert(with3.outcomes.some(({ workerCount }) => workerCount > 1));
  assertEquals(
    with3.outcomes.map(({ accuracy }) => accuracy),
    other.outcomes.map(({ accuracy }) => accuracy),
  );
});

Deno.test("a worker killed in mid-evaluation changes neither the losses nor the adapter", async () => {
  const calm = await finished({ evaluation: EVALUATION });
  const killed = await finished({ evaluation: EVALUATION }, 3, async (fleet) => {
    await untilMidEvaluation(fleet, 4);
    fleet.kill(fleet.workers[1]!);
    await fleet.clock.advance(50);
    fleet.startWorker();
  });
  assertEquals(killed.losses, calm.losses);
  assertEquals(killed.digests, calm.digests);
});

Deno.test("all workers but one are killed in mid-evaluation, and others join", async () => {
  const calm = await finished({ evaluation: EVALUATION });
  const killed = await finished({ evaluation: EVALUATION }, 3, async (fleet) => {
    await untilMidEvaluation(fleet, 2);
    fleet.kill(fleet.workers[0]!);
    fleet.kill(fleet.workers[1]!);
    await fleet.clock.advance(500);
    fleet.startWorker();
  });
  assertEquals([killed.losses, killed.digests], [calm.losses, calm.digests]);
});

Deno.test("a coordinator restarted in mid-evaluation evaluates that step again and none of the earlier ones", async () => {
  const calm = await finished({ evaluation: EVALUATION });
  for (const step of [2, 6]) {
    const restarted = await finished({ evaluation: EVALUATION }, 3, async (fleet) => {
      await untilMidEvaluation(fleet, step);
      fleet.killCoordinator();
      await fleet.clock.advance(3000);
      fleet.startCoordinator();
    });
    assertEquals([restarted.losses, restarted.digests], [calm.losses, calm.digests], `step ${step}`);
    const evaluated = restarted.history.filter((line) => line.includes("is evaluated:"));
    assertEquals(evaluated.length, 4);
  }
});

Deno.test("bad weather: messages are lost, doubled and changed, and every loss is as in a calm fleet", async () => {
  const calm = await finished({ evaluation: EVALUATION });
  for (const seed of [1, 2, 3]) {
    const stormy = await finished({ evaluation: EVALUATION, seed }, 3, async (fleet) => {
      for (const { link } of fleet.workers) link.weather = { drop: 0.05, duplicate: 0.05, corrupt: 0.02 };
      await fleet.clock.advance(1);
    });
    assertEquals([stormy.losses, stormy.digests], [calm.losses, calm.digests], `seed ${seed}`);
  }
});

Deno.test("a job paused in mid-evaluation and resumed continues with it", async () => {
  const calm = await finished({ evaluation: EVALUATION });
  const paused = await finished({ evaluation: EVALUATION }, 2, async (fleet) => {
    await untilMidEvaluation(fleet, 4);
    fleet.pauseJob();
    await fleet.clock.advance(5000);
    fleet.resumeJob();
  });
  assertEquals([paused.losses, paused.digests], [calm.losses, calm.digests]);
});

Deno.test("early stopping ends at the same step whoever evaluates, whatever happens", async () => {
  // The toy's training moves away from the rows to evaluate.
  const options = {
    totalSteps: 40,
    checkpointEvery: 40,
    evaluation: { microBatchCount: 6, every: 1 },
    training: { early_stopping_patience: 3, learning_rate: 0.1 },
  };
  const calm = await finished(options, 1);
  assert(calm.digests.length < 40, `${calm.losses}`);
  const others = [
    await finished({ ...options, seed: 9 }, 4),
    await finished(options, 3, async (fleet) => {
      await untilMidEvaluation(fleet, 2);
      fleet.kill(fleet.workers[0]!);
      await fleet.clock.advance(1500);
      fleet.killCoordinator();
      await fleet.clock.advance(1000);
      fleet.startCoordinator();
      fleet.startWorker();
    }),
  ];
  for (const other of others) {
    assertEquals(other.digests.at(-1), calm.digests.at(-1));
    assertEquals(other.losses, calm.losses);
  }
});

Deno.test("with local steps the outer state is evaluated", async () => {
  const fleet = { local_steps: { inner_steps: 2, replicas: 2 } };
  const without = await finished({ fleet, totalSteps: 16 }, 2);
  const evaluated = await finished(
    { fleet, totalSteps: 16, evaluation: { microBatchCount: 3, every: 2 } },
    2,
  );
  assertEquals(evaluated.digests, without.digests);
  assertEquals(evaluated.outcomes.map(({ step }) => step), [2, 4]);
  const again = await finished({ fleet, totalSteps: 16, evaluation: { microBatchCount: 3, every: 2 } }, 3);
  assertEquals(again.losses, evaluated.losses);
});
