/**
 * A fleet in memory with local steps: whoever does the inner loops, and whatever happens to them, the adapter is
 * the same.
 */
import { assert, assertEquals } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import type { Engine } from "../../worker/engine/engine.ts";
import { createToyEngine, type ToyEngineOptions } from "../../worker/testing/toy_engine.ts";
import { createFleetInMemory, type FleetInMemory } from "./fleet_in_memory.ts";
import { type FleetInMemoryOptions, SIM_LIMITS } from "./sim_worker.ts";
import { digestsOf, testNamedFaults } from "./named_faults.ts";
import { soak } from "./soak.ts";
import { createToyJob } from "./toy_job.ts";

/** 22 data steps: three outer steps of 2 · 4, the last one of 6, whose replicas have 3 or fewer. */
const JOB = {
  totalSteps: 22,
  microBatchesPerStep: 2,
  checkpointEvery: 1,
  computeMs: [200, 400],
  seed: 1,
  fleet: { local_steps: { inner_steps: 4, replicas: 2, outer_learning_rate: 0.7, outer_momentum: 0.9 } },
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
    await fleet.finish(600_000);
    return [...fleet.steps];
  }, change);
}

const alone = await undisturbed(1);
const expected = alone.map(({ digest }) => digest);

Deno.test("one worker, three or five: the same digest at every outer step, and no attempt for the maxima", async () => {
  assertEquals(alone.map(({ step, attempt }) => [step, attempt]), [[1, 1], [2, 1], [3, 1]]);
  assertEquals(alone.map(({ local }) => local!.dataStep), [8, 16, 22]);
  assertEquals(alone.map(({ tokenCount }) => tokenCount), [64, 64, 48]);
  for (const workerCount of [3, 5]) {
    assertEquals((await undisturbed(workerCount)).map(({ digest }) => digest), expected);
  }
});

Deno.test("what a fleet computes is what the formulas say", async () => {
  const local = createToyJob(JOB).local!;
  const theta = await initialAdapter();
  const momentum = new Float64Array(theta.length);
  for (let step = 1; step <= local.totalSteps; step++) {
    const mean = new Float64Array(theta.length);
    const innerLoops = local.innerLoopsOf(step);
    for (const { innerSteps } of innerLoops) {
      const end = adamw(theta, innerSteps);
      end.forEach((value, i) => mean[i]! += (theta[i]! - value) / innerLoops.length);
    }
    const norm = Math.hypot(...mean);
    mean.forEach((g, i) => {
      momentum[i] = 0.9 * momentum[i]! + g;
      theta[i]! -= 0.7 * (g + 0.9 * momentum[i]!);
    });
    const { gradientNorm } = alone[step - 1]!;
    assert(Math.abs(gradientNorm - norm) < 1e-4 * norm, `step ${step}: ${gradientNorm} is not ${norm}`);
  }
});

/** Of the toy engine, by the seed of the job. */
async function initialAdapter(): Promise<Float64Array> {
  const { spec: { lora, seed } } = createToyJob(JOB);
  const engine: Engine = createToyEngine({ clock: createFakeClock() });
  await engine.load({
    ...{ modelFolder: "", lora, seed, doubleQuantization: true, gradientCheckpointing: true },
    ...{ maxTokensPerMicroBatch: 8, maxPositions: 8, allowCpu: true, memoryBudgetBytes: null },
  });
  return Float64Array.from((await engine.exportState()).adapter);
}

/** The toy's inner loop in f64, by the textbook: its gradient is that of toy_engine.ts, written down once more. */
function adamw(
  start: Float64Array,
  innerSteps: readonly {
    readonly number: number;
    readonly microBatchCount: number;
    readonly learningRate: number;
  }[],
): Float64Array {
  const size = start.length / 2;
  const [p, m, v] = [start.slice(), new Float64Array(2 * size), new Float64Array(2 * size)];
  const wanted = (token: number, i: number) =>
    (Math.imul(token + 1, 0x9e37_79b1) + Math.imul(i + 1, 0x85eb_ca6b) >>> 16) / 2 ** 15 - 1;
  innerSteps.forEach(({ number, microBatchCount, learningRate }, index) => {
    const g = new Float64Array(2 * size);
    for (let token = 10 * number; token < 10 * (number + microBatchCount); token++) {
      if (token % 10 >= 4) continue;
      for (let i = 0; i < size; i++) {
        const error = p[i]! * p[size + i]! - wanted(token, i);
        g[i]! += error * p[size + i]! / size / (4 * microBatchCount);
        g[size + i]! += error * p[i]! / size / (4 * microBatchCount);
      }
    }
    const clip = Math.min(1, 0.3 / (Math.hypot(...g) + 1e-6));
    const t = index + 1;
    g.forEach((value, i) => {
      m[i] = 0.9 * m[i]! + 0.1 * clip * value;
      v[i] = 0.999 * v[i]! + 0.001 * (clip * value) ** 2;
      p[i]! -= learningRate * (m[i]! / (1 - 0.9 ** t)) / (Math.sqrt(v[i]! / (1 - 0.999 ** t)) + 1e-8);
    });
  });
  return p;
}

testNamedFaults("digests", [300, 1100, 2300, 3400, 4500, 6100], expected, inFleet);

Deno.test("bad weather: requests for rows and their answers, too, are lost, doubled and changed", async () => {
  await inFleet(async (fleet) => {
    fleet.startCoordinator();
    for (let index = 0; index < 3; index++) {
      fleet.startWorker().link.weather = { drop: 0.05, duplicate: 0.05, corrupt: 0.02 };
    }
    await fleet.finish(300_000);
    assertEquals(digestsOf(fleet), expected);
  });
});

Deno.test("an inner loop may take longer than any deadline: heartbeats show that it goes on", async () => {
  // 8 micro-batches of about 20 s each, by one worker: the first claim comes after 160 s.
  const limits = { ...SIM_LIMITS, firstMicroBatchDeadlineMs: 30_000, microBatchDeadlineMs: 30_000 };
  const slow = await undisturbed(1, { computeMs: [20_000, 20_001], limits, totalSteps: 8 });
  const quick = await undisturbed(1, { totalSteps: 8 });
  assertEquals(slow.map(({ attempt, digest }) => [attempt, digest]), quick.map(({ digest }) => [1, digest]));
});

Deno.test("fast and slow workers: whichever does an inner loop, or repeats it, none is blamed", async () => {
  for (const seed of [3, 4, 5]) {
    await inFleet(async (fleet) => {
      fleet.startCoordinator();
      for (let index = 0; index < 3; index++) fleet.startWorker();
      await fleet.finish(600_000);
      assertEquals(
        fleet.steps.map(({ digest, attempt }) => [digest, attempt]),
        expected.map((digest) => [digest, 1]),
      );
    }, { computeMs: [100, 12_000], seed });
  }
});

Deno.test("int8: all replicas agree at every outer step, whose bytes are a fraction", async () => {
  const options = { seed: 2, totalSteps: 64 };
  const [exact, int8] = [
    await undisturbed(3, options),
    await undisturbed(3, { ...options, fleet: { ...JOB.fleet, gradient_codec: "int8" } }),
  ];
  const bytes = (steps: typeof exact) =>
    steps.reduce((sum, { gradientBytesSent }) => sum + gradientBytesSent, 0);
  assertEquals([exact.length, int8.length], [8, 8]);
  assertEquals(int8.map(({ attempt }) => attempt), new Array(8).fill(1));
  assert(bytes(int8) < 0.6 * bytes(exact), `${bytes(int8)} of ${bytes(exact)} bytes`);
  int8.forEach(({ loss }, index) =>
    assert(Math.abs(loss - exact[index]!.loss) < 0.01 * loss, `step ${index + 1}`)
  );
});

Deno.test("faults of a seed: whatever happens, the digest of every outer step is that of an undisturbed run", async () => {
  const options = {
    ...{
      ...JOB,
      totalSteps: 44,
      fleet: { local_steps: { inner_steps: 4, replicas: 3 } },
      computeMs: [100, 900] as const,
    },
    ...{ workerCount: 4, faultsWithinMs: 30_000, withinMs: 900_000 },
  };
  const { digests: undisturbed } = await soak({ ...options, seed: 0, faultCount: 0, workerCount: 1 });
  assertEquals(undisturbed.length, 4);
  for (let seed = 1; seed <= 12; seed++) {
    const { digests } = await soak({ ...options, seed, faultCount: 25 });
    assertEquals(digests, undisturbed, `seed ${seed}`);
  }
});

Deno.test("a worker whose GPU is slightly wrong, all inner loops audited: in quarantine, and the digests are the others'", async () => {
  const engineOf = (worker: string): Partial<ToyEngineOptions> =>
    worker === "w-2" ? { spoil: (gradient) => void (gradient[80]! *= 1.001) } : {};
  const wrong = await undisturbed(3, { engineOf });
  assert(wrong.some(({ digest }, index) => digest !== expected[index]));
  await inFleet(async (fleet) => {
    fleet.startCoordinator();
    for (let index = 0; index < 3; index++) fleet.startWorker();
    await fleet.finish(600_000);
    assertEquals(digestsOf(fleet), expected);
    assertEquals(fleet.workerViews().find(({ id }) => id === "w-2")?.quarantine?.until, "reinstated");
  }, { engineOf, fleet: { ...JOB.fleet, audit_rate: 1 } });
});

Deno.test("a sample that is not finite anywhere: its inner loop is left out, and the mean is that of the others", async () => {
  const engineOf = (): Partial<ToyEngineOptions> => ({
    // The first micro-batch of data step 4, which is dealt to the first of three replicas.
    spoil: (gradient, number) => number === 6 ? gradient.fill(NaN) : undefined,
  });
  const change = { engineOf, fleet: { local_steps: { inner_steps: 4, replicas: 3 } } };
  const runs = [await undisturbed(1, change), await undisturbed(2, change), await undisturbed(3, change)];
  for (const steps of runs) {
    assertEquals(steps.map(({ digest }) => digest), runs[0]!.map(({ digest }) => digest));
    assertEquals(steps.map(({ excluded }) => excluded.map(({ index }) => index)), [[0], []]);
    // Two of three inner loops of 8 micro-batches, and the 10 data steps that are left.
    assertEquals(steps.map(({ tokenCount }) => tokenCount), [64, 80]);
  }
  // Divided by two, not by three.
  const theta = await initialAdapter();
  const innerLoops = createToyJob({ ...JOB, fleet: change.fleet }).local!.innerLoopsOf(1).slice(1);
  const ends = innerLoops.map(({ innerSteps }) => adamw(theta, innerSteps));
  const norm = Math.hypot(...theta.map((start, i) => start - (ends[0]![i]! + ends[1]![i]!) / 2));
  const { gradientNorm } = runs[0]![0]!;
  assert(Math.abs(gradientNorm - norm) < 1e-4 * norm, `${gradientNorm} is not ${norm}`);
});
