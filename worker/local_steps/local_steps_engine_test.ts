import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { InnerLoop } from "../../shared/protocol/inner_loop_codec.ts";
import { JOB, microBatchOf } from "../testing/test_job.ts";
import { type AdamWState, copyState, digestOf, type TrainingState } from "../optimizer/adamw_state.ts";
import type { Engine } from "../engine/engine.ts";
import { LocalStepsEngine } from "./local_steps_engine.ts";
import { createToyEngine, type ToyEngineOptions } from "../testing/toy_engine.ts";

const SPEC = { modelFolder: "", ...JOB.engine, allowCpu: true, memoryBudgetBytes: null };
const OUTER = { outerLearningRate: 0.7, outerMomentum: 0.9 };
const EXPONENTS = Int8Array.of(-30, -30);
/** What every update request has, and an outer one does not look at. */
const UNUSED = { ...JOB.optimizer, labelCount: 1, learningRate: 0.1, updateNumber: 1 };

async function loaded(change: Partial<ToyEngineOptions> = {}, outer = OUTER) {
  const below = createToyEngine({ clock: createFakeClock(), ...change });
  const engine = new LocalStepsEngine(below, {
    optimizer: JOB.optimizer,
    outer,
    headroomBits: 3,
    keptShare: 0.75,
  });
  const { digest } = await engine.load(SPEC);
  const innerLoop = (first: number, signal = new AbortController().signal, onComputed = () => {}) =>
    engine.computeInnerLoop({
      innerLoop: innerLoopOf(first),
      rowsOf: (n) => Promise.resolve(microBatchOf(n)),
      onComputed,
      signal,
    });
  /** One outer step over these inner loops. */
  const step = async (...firsts: number[]) => {
    for (const first of firsts) {
      await innerLoop(first);
      await engine.accumulate(EXPONENTS);
    }
    const request = {
      ...UNUSED,
      sums: await engine.readSums(),
      exponents: EXPONENTS,
      replicaCount: firsts.length,
    };
    const updated = await engine.update(request);
    await engine.commit();
    return updated;
  };
  return { engine, below, digest, innerLoop, step };
}

/** Three inner steps of two micro-batches. */
function innerLoopOf(first: number): InnerLoop {
  return {
    innerSteps: [0, 1, 2].map((i) => ({ number: first + 2 * i, microBatchCount: 2, learningRate: 0.02 })),
  };
}

Deno.test("an inner loop's gradient is its change, and the committed state stays", async () => {
  const { engine, below, innerLoop } = await loaded();
  const before = await engine.exportState();
  const { lossSum, labelCount, maxAbs } = await innerLoop(1);
  const end = (await below.exportState()).adapter;
  assertEquals(await engine.exportState(), before);
  assertEquals(labelCount, 24);
  assert(lossSum > 0);
  // At the load, and by this test: an exported state costs the updates after it new memory.
  assertEquals(below.callCounts.exportState, 2);
  await engine.accumulate(EXPONENTS);
  const sums = await engine.readSums();
  const changes = before.adapter.map((start, i) => Math.fround(start - end[i]!));
  assertEquals(sums, Int32Array.from(changes, (change) => Math.round(change * 2 ** 30)));
  assertEquals(
    maxAbs,
    Float32Array.of(0, 64).map((from) => Math.max(...changes.slice(from, from + 64).map(Math.abs))),
  );
  sums.fill(1); // the caller's own
  assertNotEquals(await engine.readSums(), sums);
  await engine.dropSums();
  assertEquals(await engine.readSums(), new Int32Array(128));
});

Deno.test("an inner loop gives the same bits after any history of the engine", async () => {
  const { engine, innerLoop } = await loaded();
  const first = await innerLoop(1);
  await engine.accumulate(EXPONENTS);
  const sums = await engine.readSums();
  await engine.dropSums();
  await innerLoop(7);
  assertEquals(await innerLoop(1), first);
  await engine.accumulate(EXPONENTS);
  assertEquals(await engine.readSums(), sums);
  const other = await loaded();
  assertEquals(await other.innerLoop(1), first);
});

Deno.test("outer steps do not depend on which engine did which inner loop in which order", async () => {
  const [one, other, third] = [await loaded(), await loaded(), await loaded()];
  const steps = [await one.step(1, 7), await one.step(13, 19)];
  assertEquals([await other.step(7, 1), await other.step(19, 13)], steps);
  await third.step(1, 13);
  assertNotEquals(await third.step(7, 19), steps[1]);
  const state = await one.engine.exportState();
  assertEquals([digestOf(state), state.updateCount], [steps[1]!.digest, 2]);
  assert(state.firstMoment.some((value) => value !== 0));
  assertEquals(state.secondMoment, new Float32Array(128));
});

Deno.test("an abort in the middle of an inner loop leaves nothing of it", async () => {
  const { engine, innerLoop, step } = await loaded();
  const before = await engine.exportState();
  const over = new AbortController();
  let computed = 0;
  const onComputed = () => void (++computed === 3 && over.abort(new LoraFleetError("aborted", "over")));
  await assertRejects(() => innerLoop(1, over.signal, onComputed), LoraFleetError, "over");
  assertEquals([computed, await engine.exportState()], [3, before]);
  await assertRejects(() => engine.accumulate(EXPONENTS), LoraFleetError, "no inner loop");
  assertEquals(await step(1), await (await loaded()).step(1));
});

Deno.test("a GPU that fails in the middle of an inner loop leaves the committed state as it was", async () => {
  let calls = 0;
  const { engine, innerLoop } = await loaded({
    fault: (call) => {
      if (call === "computeGradient" && ++calls === 4) throw new LoraFleetError("gpu_failure", "lost");
    },
  });
  const before = await engine.exportState();
  await assertRejects(() => innerLoop(1), LoraFleetError, "lost");
  assertEquals(await engine.exportState(), before);
  assertEquals(await innerLoop(1), await (await loaded()).innerLoop(1));
});

Deno.test("in the middle of an inner loop the committed state is given away, not the inner loop's", async () => {
  const { engine, below, innerLoop } = await loaded();
  const before = await engine.exportState();
  const seen: [TrainingState, TrainingState][] = [];
  const reads: Promise<unknown>[] = [];
  await innerLoop(1, new AbortController().signal, () => {
    reads.push(Promise.all([engine.exportState(), below.exportState()]).then((pair) => seen.push(pair)));
  });
  await Promise.all(reads);
  assertEquals(seen.length, 6);
  for (const [given] of seen) assertEquals(given, before);
  assertNotEquals(seen.at(-1)![1].adapter, before.adapter);
});

Deno.test("an update that waits for its commit outlives an inner loop that is computed meanwhile", async () => {
  const { engine, innerLoop } = await loaded();
  await innerLoop(1);
  await engine.accumulate(EXPONENTS);
  const request = { ...UNUSED, sums: await engine.readSums(), exponents: EXPONENTS, replicaCount: 1 };
  const { digest } = await engine.update(request);
  await innerLoop(7);
  await engine.commit();
  assertEquals(digestOf(await engine.exportState()), digest);
});

Deno.test("a rollback forgets sums, inner loop and update", async () => {
  const { engine, innerLoop, digest } = await loaded();
  await innerLoop(1);
  await engine.accumulate(EXPONENTS);
  await engine.update({
    ...UNUSED,
    sums: new Int32Array(128).fill(9),
    exponents: EXPONENTS,
    replicaCount: 1,
  });
  await engine.rollback();
  assertEquals(await engine.readSums(), new Int32Array(128));
  await assertRejects(() => engine.accumulate(EXPONENTS), LoraFleetError, "no inner loop");
  await assertRejects(() => engine.commit(), LoraFleetError, "no outer update");
  assertEquals(digestOf(await engine.exportState()), digest);
});

Deno.test("a state continues in a different engine as in the first; files hold the committed one", async () => {
  const one = await loaded();
  const { digest } = await one.step(1, 7);
  const other = await loaded();
  await other.innerLoop(30);
  assertEquals(await other.engine.importState(await one.engine.exportState()), { digest });
  assertEquals(await other.step(13), await one.step(13));
  const written = async ({ engine, innerLoop }: Awaited<ReturnType<typeof loaded>>) => {
    await innerLoop(40);
    const folder = await Deno.makeTempDir({ prefix: "lorafleet-local-steps-" });
    try {
      await engine.writeState(folder);
      await engine.writeAdapter(folder, "toy");
      const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
      return names.map((name) => [name, Deno.readFileSync(`${folder}/${name}`)] as const);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  };
  const files = await written(one);
  assert(files.length >= 3, files.map(([name]) => name).join());
  const fresh = await loaded();
  await fresh.step(1, 7);
  await fresh.step(13);
  assertEquals(await written(fresh), files);
});

Deno.test("a state is read where it lies: none is copied for the inner engine, which plans for local steps", async () => {
  const below = createToyEngine({ clock: createFakeClock() });
  const imported: TrainingState[] = [];
  let isPlanned: boolean | undefined;
  const inner: Engine = {
    ...below,
    load: (spec) => {
      isPlanned = spec.hasLocalSteps;
      return below.load(spec);
    },
    // As the engine's thread does: what is exported lies in shared memory.
    exportState: async () => {
      const { updateCount, ...arrays } = await below.exportState();
      return { updateCount, ...sharedCopy(arrays) };
    },
    importState: (state, expected) => {
      imported.push(state);
      return below.importState(state, expected);
    },
  };
  const engine = new LocalStepsEngine(inner, {
    ...{ optimizer: JOB.optimizer, outer: OUTER, headroomBits: 3, keptShare: 0.75 },
  });
  await engine.load(SPEC);
  const request = { ...UNUSED, sums: new Int32Array(128).fill(9), exponents: EXPONENTS, replicaCount: 1 };
  const { digest } = await engine.update(request);
  await engine.commit();
  const committed = await engine.exportState();
  assertEquals([digestOf(committed), imported[0], isPlanned], [digest, committed, true]);
  for (const name of ["adapter", "firstMoment", "secondMoment"] as const) {
    assert(imported[0]![name] === committed[name], name);
  }
  const fetched = { updateCount: 7, ...copyState(committed) };
  assertEquals(await engine.importState(fetched), { digest });
  assert(imported[1] === fetched);
  fetched.adapter.fill(0); // given away: only the inner engine's own copy counts
  assertEquals((await engine.exportState()).adapter, committed.adapter);
  assertEquals((await engine.exportState()).updateCount, 7);
});

function sharedCopy(state: AdamWState): AdamWState {
  const copy = (values: Float32Array) => {
    const shared = new Float32Array(new SharedArrayBuffer(values.byteLength));
    shared.set(values);
    return shared;
  };
  const { adapter, firstMoment, secondMoment } = state;
  return { adapter: copy(adapter), firstMoment: copy(firstMoment), secondMoment: copy(secondMoment) };
}

Deno.test("a gradient that is not finite is reported as NaN, and nothing can be added", async () => {
  const { engine, innerLoop } = await loaded({
    spoil: (gradient, number) => void (number === 3 && (gradient[0] = Infinity)),
  });
  const { lossSum, maxAbs } = await innerLoop(1);
  assertEquals([lossSum, [...maxAbs]], [NaN, [NaN, NaN]]);
  await assertRejects(() => engine.accumulate(EXPONENTS), LoraFleetError, "no inner loop");
});

Deno.test("sums of a different length and an unloaded engine are refused", async () => {
  const { engine } = await loaded();
  const request = { ...UNUSED, exponents: EXPONENTS, replicaCount: 1 };
  await assertRejects(() => engine.update({ ...request, sums: new Int32Array(64) }), RangeError, "64 sums");
  const { replicaCount: _, ...without } = request;
  await assertRejects(
    () => engine.update({ ...without, sums: new Int32Array(128) }),
    RangeError,
    "0 replicas",
  );
  const unloaded = new LocalStepsEngine(createToyEngine({ clock: createFakeClock() }), {
    ...{ optimizer: JOB.optimizer, outer: OUTER, headroomBits: 3, keptShare: 0.75 },
  });
  const failure = await assertRejects(async () => await unloaded.exportState(), LoraFleetError);
  assertEquals(failure.message, "cannot use the engine before it has loaded a model");
});
