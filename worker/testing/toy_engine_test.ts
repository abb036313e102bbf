import { assertEquals, assertLess, assertNotEquals, assertRejects } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { JOB, microBatchOf } from "./test_job.ts";
import type { EngineSpec } from "../engine/engine.ts";
import { createToyEngine, type ToyEngineOptions } from "./toy_engine.ts";

const SPEC: EngineSpec = { modelFolder: "", ...JOB.engine, allowCpu: true, memoryBudgetBytes: null };
const EXPONENTS = Int8Array.of(-20, -20);

async function loaded(options: Partial<ToyEngineOptions> = {}) {
  const clock = createFakeClock();
  const engine = createToyEngine({ clock, ...options });
  const { digest } = await engine.load(SPEC);
  /** One step over these micro-batches, in this order. */
  const step = async (updateNumber: number, numbers: readonly number[]) => {
    let lossSum = 0;
    let labelCount = 0;
    for (const number of numbers) {
      const result = await engine.computeGradient(microBatchOf(number), number);
      await engine.accumulate(EXPONENTS);
      lossSum += result.lossSum;
      labelCount += result.labelCount;
    }
    const sums = await engine.readSums();
    const request = { sums, exponents: EXPONENTS, labelCount, learningRate: 0.05, updateNumber };
    const result = await engine.update({ ...request, ...JOB.optimizer, maxGradientNorm: 0 });
    await engine.commit();
    return { ...result, loss: lossSum / labelCount };
  };
  return { engine, clock, digest, step };
}

Deno.test("training lowers the loss", async () => {
  const { step } = await loaded();
  const losses: number[] = [];
  for (let number = 1; number <= 60; number++) losses.push((await step(number, [1, 2])).loss);
  // One number for eight tokens cannot be right for all of them: 7/8 of the loss stays.
  assertLess(losses.at(-1)!, 0.96 * losses[0]!);
});

Deno.test("the order of micro-batches makes no difference, their content does", async () => {
  const digests = await Promise.all([[1, 2, 3], [3, 1, 2], [1, 2, 4]].map(async (numbers) => {
    const { step } = await loaded();
    return (await step(1, numbers)).digest;
  }));
  assertEquals(digests[0], digests[1]);
  assertNotEquals(digests[0], digests[2]);
});

Deno.test("a state continues in a second engine as in the first", async () => {
  const one = await loaded();
  await one.step(1, [1]);
  const other = await loaded();
  const { digest } = await other.engine.importState(await one.engine.exportState());
  assertNotEquals(digest, other.digest);
  assertEquals((await other.step(2, [5])).digest, (await one.step(2, [5])).digest);
  assertEquals((await other.engine.exportState()).updateCount, 2);
});

Deno.test("a rollback leaves no trace", async () => {
  const { engine, step } = await loaded();
  await engine.computeGradient(microBatchOf(9), 9);
  await engine.accumulate(EXPONENTS);
  await engine.rollback();
  await assertRejects(() => engine.commit(), LoraFleetError, "no update to commit");
  const other = await loaded();
  assertEquals((await step(1, [1])).digest, (await other.step(1, [1])).digest);
});

Deno.test("calls run in order, take their delay, and fail on request", async () => {
  const { engine, clock } = await loaded({
    delayMs: (call) => call === "computeGradient" ? 100 : 0,
    fault: (call, number) => {
      if (call === "readSums" && number === 2) throw new LoraFleetError("gpu_failure", "lost");
    },
  });
  const order: string[] = [];
  const slow = engine.computeGradient(microBatchOf(1), 1).then(() => order.push("gradient"));
  const quick = engine.readSums().then(() => order.push("sums"));
  assertEquals(engine.openCalls, 2);
  await clock.advance(100);
  await Promise.all([slow, quick]);
  assertEquals([order, engine.openCalls], [["gradient", "sums"], 0]);
  await assertRejects(() => engine.readSums(), LoraFleetError, "lost");
  assertEquals((await engine.readSums()).length, 128);
});

Deno.test("an engine refuses calls before it has loaded", async () => {
  const engine = createToyEngine({ clock: createFakeClock() });
  await assertRejects(() => engine.exportState(), LoraFleetError, "before it was loaded");
});

Deno.test("a gradient's digest is that of its bits, and leaves the gradient as it is", async () => {
  const digestOf = async (number: number, options: Partial<ToyEngineOptions> = {}) => {
    const { engine } = await loaded(options);
    await engine.computeGradient(microBatchOf(number), number);
    const digest = await engine.gradientDigest();
    assertEquals(await engine.gradientDigest(), digest);
    await engine.accumulate(EXPONENTS);
    assertNotEquals((await engine.readSums()).findIndex((sum) => sum !== 0), -1);
    await assertRejects(() => engine.gradientDigest(), LoraFleetError, "no gradient");
    return digest;
  };
  const right = await digestOf(1);
  assertEquals(await digestOf(1), right);
  assertNotEquals(await digestOf(2), right);
  const oneBit = (gradient: Float32Array) => void (new Uint32Array(gradient.buffer)[70]! ^= 1);
  assertNotEquals(await digestOf(1, { spoil: oneBit }), right);
});
