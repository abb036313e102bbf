/** With a double of an engine whose GPU loses everything at a chosen call. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { Arrival } from "../async/arrival.ts";
import { GpuReset } from "../device/error_scopes.ts";
import type { EngineNote } from "./engine_calls.ts";
import { losingEngine, type LossAt } from "../testing/losing_engine.ts";
import { JOB } from "../testing/test_job.ts";
import type { EngineSpec } from "./engine.ts";
import { ResettingEngine } from "./resetting_engine.ts";

const ENGINE_SPEC: EngineSpec = { modelFolder: "", ...JOB.engine, allowCpu: true, memoryBudgetBytes: null };

const toyBatch = (first: number) => ({
  tokens: Uint32Array.from({ length: 8 }, (_, index) => first * 31 + index),
  labels: new Int32Array(8).fill(1),
  positions: Uint32Array.from({ length: 8 }, (_, index) => index),
  segmentStarts: new Uint32Array(8),
});

const OPTIMIZER = {
  ...{ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradientNorm: 1 },
  ...{ learningRate: 0.01, labelCount: 24, digestKind: "sha256" as const },
};
const exponents = () => new Int8Array(2).fill(-20);

/** Two steps of three micro-batches, one of them audited, and an evaluation; all that a caller learns of them. */
async function run(lossAt: LossAt) {
  const clock = createFakeClock(0);
  const notes: EngineNote[] = [];
  const losing = losingEngine(clock, lossAt);
  const engine = new ResettingEngine(losing.engine, { clock, tell: (note) => notes.push(note) });
  const seen: unknown[] = [];
  await engine.load(ENGINE_SPEC);
  for (let step = 1; step <= 2; step++) {
    for (let index = 0; index < 3; index++) {
      seen.push(await engine.computeGradient(toyBatch(10 * step + index), index));
      seen.push(await engine.gradientDigest(), await engine.gradientCheck(exponents(), 7));
      if (index !== 1) await engine.accumulate(exponents()); // as if a peer's came first
    }
    const sums = await engine.readSums();
    seen.push(
      sums.slice(),
      await engine.update({ ...OPTIMIZER, sums, exponents: exponents(), updateNumber: step }),
    );
    seen.push(await engine.readSums()); // for a second round
    await engine.commit();
    seen.push(await engine.evaluate(toyBatch(99)));
  }
  seen.push(await engine.exportState());
  return { seen, notes, calls: losing.calls() };
}

Deno.test("a GPU that is lost at any call of a step, once or twice: the same gradients, sums, digests and state", async () => {
  const calm = await run(() => false);
  assertEquals(calm.notes, []);
  for (let call = 1; call <= calm.calls; call++) {
    const once = await run((number) => number === call);
    assertEquals(once.seen, calm.seen, `lost at call ${call}`);
    const twice = await run((number) => number === call || number === call + 2);
    assertEquals(twice.seen, calm.seen, `lost at calls ${call} and ${call + 2}`);
    assertEquals(once.notes.filter(({ isReset }) => isReset).length <= 1, true);
  }
});

Deno.test("the notes say what is done again, and when the GPU works again", async () => {
  const { notes } = await run((number, name) => name === "readSums" && number > 10 && number < 14);
  const [lost, works] = notes as [EngineNote, EngineNote];
  assertStringIncludes(lost.note, "the device was lost");
  assertStringIncludes(lost.note, "submits of 50 ms, and computing 2 micro-batches of this step again");
  assertStringIncludes(works.note, "the GPU works again after");
  assertEquals([lost.isReset, lost.isBroken, works.isReset], [true, undefined, undefined]);
});

Deno.test("a GPU that is lost again and again ends with the sentence, at once and for every later call", async () => {
  const clock = createFakeClock(0);
  const notes: EngineNote[] = [];
  const { engine: inner, calls } = losingEngine(clock, (_, name) => name === "computeGradient");
  const engine = new ResettingEngine(inner, { clock, tell: (note) => notes.push(note) });
  await engine.load(ENGINE_SPEC);
  const error = await assertRejects(
    () => engine.computeGradient(toyBatch(1), 0),
    LoraFleetError,
    "was reset 4 times",
  );
  assertEquals(error.param, "gpu_resets");
  assertEquals(notes.filter(({ isReset }) => isReset).length, 4);
  assertEquals(notes.at(-1), { note: error.message, isReset: true, isBroken: true });
  const before = calls();
  await assertRejects(() => engine.readSums(), LoraFleetError, "was reset 4 times");
  assertEquals(calls(), before);
});

Deno.test("submits become shorter with each reset, and a driver that needs a while is waited for", async () => {
  const clock = createFakeClock(0);
  const losing = losingEngine(clock, (number, name) => name === "computeGradient" && number < 5);
  losing.adapterComesBackAfter(30_000);
  const engine = new ResettingEngine(losing.engine, { clock });
  await engine.load(ENGINE_SPEC);
  const computing = engine.computeGradient(toyBatch(1), 0);
  await clock.advance(200_000);
  await computing;
  assertEquals(losing.targets(), [50, 25, 12.5]);
});

Deno.test("a driver that has no GPU after a minute is the error that the caller gets", async () => {
  const clock = createFakeClock(0);
  const losing = losingEngine(clock, (_, name) => name === "readSums");
  losing.adapterComesBackAfter(Infinity);
  const engine = new ResettingEngine(losing.engine, { clock });
  await engine.load(ENGINE_SPEC);
  const failed = assertRejects(() => engine.readSums(), LoraFleetError, "no adapter");
  await clock.advance(120_000);
  await failed;
});

Deno.test("a load that meets a reset is done again; other errors pass through", async () => {
  const clock = createFakeClock(0);
  const { engine: inner } = losingEngine(clock, (number, name) => name === "load" && number === 1);
  const engine = new ResettingEngine(inner, { clock });
  assertEquals((await engine.load(ENGINE_SPEC)).gpuDescription, "toy");
  const error = await assertRejects(() => engine.commit(), LoraFleetError, "no update");
  assert(!(error instanceof GpuReset));
});

Deno.test("a load that meets a reset waits for a driver that needs a while, and a minute at most", async () => {
  for (const awayMs of [30_000, Infinity]) {
    const clock = createFakeClock(0);
    const losing = losingEngine(clock, (number) => number === 1);
    losing.adapterComesBackAfter(awayMs);
    const loading = new ResettingEngine(losing.engine, { clock }).load(ENGINE_SPEC);
    const outcome = loading.then(({ gpuDescription }) => gpuDescription, (thrown) => messageOf(thrown));
    await clock.advance(120_000);
    assertStringIncludes(await outcome, awayMs === 30_000 ? "toy" : "no adapter");
  }
});

Deno.test("what a caller passes arrives, the digest that an imported state is expected to have included", async () => {
  const seen: unknown[] = [];
  const { engine: inner } = losingEngine(createFakeClock(0), () => false);
  const engine = new ResettingEngine({
    ...inner,
    importState: (...args) => (seen.push(args[1]), inner.importState(...args)),
  });
  await engine.load(ENGINE_SPEC);
  await engine.importState(await engine.exportState(), "digest");
  assertEquals(seen, ["digest"]);
});

Deno.test("a GPU that is lost in the middle of a reading: the rest is the same, and what a round has changed by then stays", async () => {
  const clock = createFakeClock(0);
  const target = new Int32Array(128);
  let isLost = false;
  const fault = (from: number) => {
    if (from !== 64 || isLost) return;
    isLost = true;
    throw new GpuReset("the device was lost");
  };
  const lossless = losingEngine(clock, () => false);
  const losing = losingEngine(clock, () => false, {
    readback: { pieceElements: 32, pieceMs: 5, fault, target },
  });
  const seen: Int32Array[] = [];
  for (const { engine: inner } of [lossless, losing]) {
    const engine = new ResettingEngine(inner, { clock });
    await engine.load(ENGINE_SPEC);
    for (const index of [0, 1]) {
      await engine.computeGradient(toyBatch(index), index);
      await engine.accumulate(exponents());
    }
    const arrival = new Arrival();
    arrival.watch(() => arrival.count === 64 && inner === losing.engine && target.fill(7, 0, 64));
    const reading = engine.readSums(arrival);
    await clock.advance(1000);
    seen.push(await reading);
  }
  const [calm, lost] = seen as [Int32Array, Int32Array];
  assert(isLost && calm.subarray(64).some((sum) => sum !== 0));
  assertEquals(lost.subarray(0, 64), new Int32Array(64).fill(7));
  assertEquals(lost.subarray(64), calm.subarray(64));
});
