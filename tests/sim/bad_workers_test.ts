/** Bad samples and bad workers in a fleet in memory: the result is that of the good ones (decision 0012). */
import { assert, assertEquals, assertLess, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import type { ToyEngineOptions } from "../../worker/testing/toy_engine.ts";
import { createFleetInMemory, type FleetInMemory } from "./fleet_in_memory.ts";
import type { FleetInMemoryOptions } from "./sim_worker.ts";
import { soak } from "./soak.ts";

const JOB = {
  totalSteps: 5,
  microBatchesPerStep: 6,
  checkpointEvery: 2,
  computeMs: [200, 400],
  seed: 1,
} as const;
type Spoil = NonNullable<ToyEngineOptions["spoil"]>;

async function inFleet<T>(
  workerCount: number,
  change: Partial<FleetInMemoryOptions>,
  work: (fleet: FleetInMemory) => Promise<T>,
): Promise<T> {
  const fleet = createFleetInMemory({ ...JOB, ...change });
  try {
    fleet.startCoordinator();
    for (let index = 0; index < workerCount; index++) fleet.startWorker();
    return await work(fleet);
  } finally {
    await fleet.close();
  }
}

/** Of a run to its end, the digest of each step as it was committed last. */
async function digests(workerCount: number, change: Partial<FleetInMemoryOptions> = {}): Promise<string[]> {
  return await inFleet(workerCount, change, async (fleet) => {
    await fleet.finish(300_000);
    return digestsOf(fleet);
  });
}

function digestsOf({ steps }: FleetInMemory): string[] {
  return [...new Map(steps.map(({ step, digest }) => [step, digest])).values()];
}

/** The one worker whose GPU is bad. */
const only = (bad: string, spoil: Spoil) => (worker: string): Partial<ToyEngineOptions> =>
  worker === bad ? { spoil } : {};
const all = (spoil: Spoil) => (): Partial<ToyEngineOptions> => ({ spoil });
const toNaN: Spoil = (gradient) => void gradient.fill(NaN, 70, 71);
/** Plausible numbers, and always the same wrong ones. */
const slightlyOff: Spoil = (gradient) => void (gradient[80]! *= 1.001);
const AUDITED = { fleet: { audit_rate: 1 } };

const honest = await digests(1);
const quarantineOf = (fleet: FleetInMemory, worker: string) =>
  fleet.workerViews().find(({ id }) => id === worker)?.quarantine ?? null;

Deno.test("a sample that is not finite anywhere: left out, and the same digests with 1, 2 and 3 workers", async () => {
  const badSample: Spoil = (gradient, number) => number === 8 ? gradient.fill(NaN) : undefined;
  const runs = await Promise.all(
    [1, 2, 3].map((count) =>
      inFleet(count, { engineOf: all(badSample) }, async (fleet) => {
        await fleet.finish(300_000);
        assertEquals(fleet.steps.map(({ excluded }) => excluded.map(({ index }) => index)), [
          [],
          [2],
          [],
          [],
          [],
        ]);
        assertEquals(fleet.steps[1]!.labelCount, fleet.steps[0]!.labelCount * 5 / 6);
        assertEquals(fleet.workerViews().flatMap(({ strikes }) => strikes), []);
        return digestsOf(fleet);
      })
    ),
  );
  assertEquals(runs[1], runs[0]);
  assertEquals(runs[2], runs[0]);
  assertEquals(runs[0]![0], honest[0]);
  assert(runs[0]![1] !== honest[1]);
});

Deno.test("a model that has diverged fails at once, and says what to look at", async () => {
  for (const count of [1, 3]) {
    await inFleet(count, { engineOf: all(toNaN) }, async (fleet) => {
      const startedAt = fleet.clock.now();
      const { message } = await assertRejects(() => fleet.finish(300_000), Error);
      assertMatch(message, /2 of 6 micro-batches of step 1 give a loss or a gradient that is not finite/);
      assertMatch(message, /lower training\.learning_rate/);
      assertLess(fleet.clock.now() - startedAt, 10_000);
    });
  }
});

Deno.test("a GPU that gives NaN: the others' results count, and it is in quarantine for the job, with its reasons", async () => {
  await inFleet(3, { engineOf: only("w-1", toNaN) }, async (fleet) => {
    while (quarantineOf(fleet, "w-1") === null) await fleet.clock.advance(50);
    const { reasons, until } = quarantineOf(fleet, "w-1")!;
    assertEquals([reasons.length, until], [3, "jobEnds"]);
    assertMatch(reasons[0]!, /its gradient of micro-batch \d of step 1 is not finite, that of w-[02] is/);
    await fleet.finish(300_000);
    assertEquals(digestsOf(fleet), honest);
    assert(fleet.steps.every(({ excluded }) => excluded.length === 0));
    // The next job starts with a clean slate.
    assertEquals(quarantineOf(fleet, "w-1"), null);
  });
});

Deno.test("a lying worker among three, all audited: in quarantine, and the digests are those of honest workers", async () => {
  const unnoticed = await digests(3, { engineOf: only("w-2", slightlyOff) });
  assertNotEquals(unnoticed, honest);
  for (const seed of [1, 2, 3]) {
    await inFleet(3, { ...AUDITED, seed, engineOf: only("w-2", slightlyOff) }, async (fleet) => {
      await fleet.finish(300_000);
      assertEquals(digestsOf(fleet), honest, `seed ${seed}`);
      const { reasons, until } = quarantineOf(fleet, "w-2")!;
      assertEquals(until, "reinstated");
      assertMatch(
        reasons[0]!,
        /its gradient of micro-batch \d of step 1 has the digest [0-9a-f]{12}, but w-\d and w-\d agree on/,
      );
      const { audits } = fleet.steps.at(-1)!;
      assertEquals(audits, { passed: 30, failed: 1, skipped: 0 });
      assertEquals(fleet.steps.map(({ workerCount }) => workerCount), [2, 2, 2, 2, 2]);
    });
  }
});

Deno.test("audits change nothing about the result, whatever their rate and the number of workers", async () => {
  for (const [count, audit_rate] of [[1, 1], [2, 0.3], [4, 1]] as const) {
    assertEquals(await digests(count, { fleet: { audit_rate } }), honest, `${count} workers, ${audit_rate}`);
  }
});

Deno.test("without a second worker of the same GPU audits are skipped, and counted so", async () => {
  await inFleet(2, { ...AUDITED, gpuOf: (worker) => `GPU of ${worker}` }, async (fleet) => {
    await fleet.finish(300_000);
    assertEquals(fleet.steps.at(-1)!.audits, { passed: 0, failed: 0, skipped: 30 });
  });
});

Deno.test("of two workers that disagree the one that contradicts itself is wrong", async () => {
  let times = 0;
  const everDifferent: Spoil = (gradient) => void (gradient[80]! *= 1 + ++times / 1000);
  await inFleet(2, { ...AUDITED, engineOf: only("w-0", everDifferent) }, async (fleet) => {
    await fleet.finish(300_000);
    assertEquals(digestsOf(fleet), honest);
    assertMatch(quarantineOf(fleet, "w-0")!.reasons[0]!, /it computed micro-batch \d of step 1 twice, with/);
    assertEquals(quarantineOf(fleet, "w-1"), null);
  });
});

Deno.test("two workers that disagree for good: the job fails and names both, or continues if audit_unresolved says so", async () => {
  const engineOf = only("w-0", slightlyOff);
  await inFleet(2, { ...AUDITED, engineOf }, async (fleet) => {
    const { message } = await assertRejects(() => fleet.finish(300_000), Error);
    assertMatch(
      message,
      /has different bits on machines that describe their GPU alike \(w-[01] has .*, w-[01] has/,
    );
    assertMatch(message, /add a third worker/);
    assertEquals([quarantineOf(fleet, "w-0"), quarantineOf(fleet, "w-1")], [null, null]);
  });
  await inFleet(2, { fleet: { audit_rate: 1, audit_unresolved: "continue" }, engineOf }, async (fleet) => {
    await fleet.finish(300_000);
    assertEquals(fleet.steps.at(-1)!.audits, { passed: 0, failed: 0, skipped: 30 });
  });
});

Deno.test("an auditor that never answers is waited for no longer than audits are worth", async () => {
  let isStuck = false;
  const engineOf = (worker: string) => ({
    delayMs: (call: string) =>
      call === "gradientDigest" && worker === "w-1" && isStuck ? 1e9 : call === "computeGradient" ? 200 : 0,
  });
  await inFleet(2, { ...AUDITED, engineOf }, async (fleet) => {
    while (fleet.steps.length < 2) await fleet.clock.advance(50);
    isStuck = true;
    await fleet.finish(600_000);
    assertEquals(digestsOf(fleet), honest);
    assert(fleet.history.some((line) => /Audits of step 3 are skipped: nothing came from w-1/.test(line)));
    assert(fleet.steps.at(-1)!.audits.skipped > 0);
  });
});

Deno.test("a quarantine by audit outlives the coordinator and the worker's rejoining, until it is reinstated", async () => {
  let isBroken = true;
  const spoil: Spoil = (gradient, number) => isBroken ? slightlyOff(gradient, number) : undefined;
  await inFleet(3, { ...AUDITED, totalSteps: 40, engineOf: only("w-2", spoil) }, async (fleet) => {
    while (quarantineOf(fleet, "w-2") === null) await fleet.clock.advance(50);
    const doneBy = (id: string) => fleet.workerViews().find((view) => view.id === id)!.microBatchesDone;
    await fleet.clock.advance(1000);
    const [before, other] = [doneBy("w-2"), doneBy("w-0")];
    await fleet.clock.advance(5000);
    assertEquals([doneBy("w-2"), doneBy("w-0") > other], [before, true]);
    // Nor does it load from others, step by step, what it has no use for.
    const loads = () =>
      fleet.history.filter((line) => /w-2: info: the state of step \d+ is loaded/.test(line)).length;
    assertEquals([loads(), fleet.steps.length > 0], [0, true]);
    fleet.killCoordinator();
    await fleet.clock.advance(500);
    fleet.startCoordinator();
    // All workers have to join again.
    const stepsBefore = fleet.steps.length;
    while (fleet.steps.length < stepsBefore + 3) await fleet.clock.advance(50);
    const view = fleet.workerViews().find(({ id }) => id === "w-2")!;
    assertEquals([view.state, view.quarantine?.until], ["ready", "reinstated"]);
    assertEquals(fleet.steps.at(-1)!.workerCount, 2);
    assert(
      fleet.history.some((line) => /w-2 gets no work: it is in quarantine \(its gradient of/.test(line)),
    );
    isBroken = false;
    fleet.reinstate("w-2");
    while (fleet.steps.at(-1)!.workerCount < 3) await fleet.clock.advance(50);
    assertEquals(loads(), 1);
    await fleet.finish(600_000);
    assertEquals(quarantineOf(fleet, "w-2"), null);
  });
});

const FAULTS: Record<string, (fleet: FleetInMemory) => Promise<void>> = {
  "the coordinator starts again": async (fleet) => {
    fleet.killCoordinator();
    await fleet.clock.advance(700);
    fleet.startCoordinator();
  },
  "a worker is killed": async (fleet) => {
    fleet.kill(fleet.workers[0]!);
    await Promise.resolve();
  },
  "a worker stands still for 15 s": async ({ workers, clock }) => {
    workers[1]!.link.stall();
    await clock.advance(15_000);
    workers[1]!.link.resume();
  },
  "a worker joins": async (fleet) => {
    fleet.startWorker();
    await Promise.resolve();
  },
};

for (const [name, fault] of Object.entries(FAULTS)) {
  Deno.test(`with a lying worker and a bad sample, ${name}: the digests of honest workers`, async () => {
    const sample: Spoil = (gradient, number) => number === 14 ? gradient.fill(Infinity) : undefined;
    const expected = await digests(1, { engineOf: all(sample) });
    const engineOf = (worker: string): Partial<ToyEngineOptions> => ({
      spoil: (gradient, number) => {
        sample(gradient, number);
        if (worker === "w-3") slightlyOff(gradient, number);
      },
    });
    for (const atMs of [500, 1100, 1900, 3300]) {
      await inFleet(4, { ...AUDITED, engineOf, seed: atMs }, async (fleet) => {
        await fleet.clock.advance(atMs);
        await fault(fleet);
        await fleet.finish(600_000);
        assertEquals(digestsOf(fleet), expected, `at ${atMs} ms`);
      });
    }
  });
}

Deno.test("audits in bad weather: assignments and reports are lost, doubled and changed", async () => {
  await inFleet(3, AUDITED, async (fleet) => {
    for (const { link } of fleet.workers) link.weather = { drop: 0.05, duplicate: 0.05, corrupt: 0.02 };
    await fleet.finish(600_000);
    assertEquals(digestsOf(fleet), honest);
    assertEquals(fleet.steps.at(-1)!.audits.failed, 0);
  });
});

Deno.test("reinstated in the middle of the attempt that it was taken out of: its sums are in no round", async () => {
  let isBroken = true;
  const spoil: Spoil = (gradient, number) => isBroken ? slightlyOff(gradient, number) : undefined;
  const change = { ...AUDITED, microBatchesPerStep: 24, engineOf: only("w-2", spoil) };
  const expected = await digests(1, { microBatchesPerStep: 24 });
  await inFleet(3, change, async (fleet) => {
    while (quarantineOf(fleet, "w-2") === null) await fleet.clock.advance(50);
    isBroken = false;
    fleet.reinstate("w-2");
    await fleet.finish(600_000);
    assertEquals(digestsOf(fleet), expected);
    assertEquals(fleet.workerViews().flatMap(({ strikes }) => strikes), []);
    assertEquals(fleet.steps.at(-1)!.workerCount, 3);
  });
});

Deno.test("drawn faults into a fleet with bad samples and audits: the digests of one undisturbed worker", async () => {
  const engineOf = all((gradient, number) => number === 8 || number === 20 ? gradient.fill(NaN) : undefined);
  const options = { ...JOB, fleet: { audit_rate: 0.5 }, engineOf };
  const expected = await digests(1, options);
  for (let seed = 1; seed <= 8; seed++) {
    const faults = { faultCount: 12, faultsWithinMs: 15_000, withinMs: 900_000 };
    const result = await soak({ ...options, ...faults, seed, workerCount: 4 });
    assertEquals([...result.digests], expected, `seed ${seed}: ${result.faults.join("; ")}`);
  }
});
