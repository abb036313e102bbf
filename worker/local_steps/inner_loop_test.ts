import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { InnerLoop } from "../../shared/protocol/inner_loop_codec.ts";
import { JOB, microBatchOf } from "../testing/test_job.ts";
import { runInnerLoop } from "./inner_loop.ts";
import { createToyEngine, type ToyEngineOptions } from "../testing/toy_engine.ts";

const OPTIMIZER = { ...JOB.optimizer, weightDecay: 0.01 };

/** `counts[i]` micro-batches in inner step i, numbered from 10 on. */
function innerLoopOf(...counts: number[]): InnerLoop {
  let number = 10;
  return {
    innerSteps: counts.map((microBatchCount, index) => {
      const first = number;
      number += microBatchCount;
      return { number: first, microBatchCount, learningRate: 0.01 * (index + 1) };
    }),
  };
}

async function run(
  innerLoop: InnerLoop,
  change: Partial<ToyEngineOptions> = {},
  signal = new AbortController().signal,
) {
  const engine = createToyEngine({ clock: createFakeClock(), ...change });
  await engine.load({ modelFolder: "", ...JOB.engine, allowCpu: true, memoryBudgetBytes: null });
  const asked: number[] = [];
  const tokens: number[] = [];
  const loss = await runInnerLoop(engine, {
    ...{ innerLoop, optimizer: OPTIMIZER, headroomBits: 3, keptShare: 0.75, signal },
    rowsOf: (number) => {
      asked.push(number);
      return Promise.resolve(microBatchOf(number));
    },
    onComputed: (count) => void tokens.push(count),
  });
  return { engine, loss, asked, tokens, state: await engine.exportState() };
}

Deno.test("an inner loop is so many AdamW steps from moments of zero, and every time the same bits", async () => {
  const { state, loss, asked, tokens } = await run(innerLoopOf(2, 3, 1));
  assertEquals(asked, [10, 11, 12, 13, 14, 15]);
  assertEquals(tokens, [4, 4, 4, 4, 4, 4]);
  assertEquals([state.updateCount, loss!.labelCount], [3, 24]);
  const again = await run(innerLoopOf(2, 3, 1));
  assertEquals([again.state, again.loss], [state, loss]);
  assertNotEquals((await run(innerLoopOf(3, 2, 1))).state, state);
});

Deno.test("it is what the same steps make of wide exponents, up to their rounding", async () => {
  const innerLoop = innerLoopOf(2, 3, 1);
  const { state, loss } = await run(innerLoop);
  const engine = createToyEngine({ clock: createFakeClock() });
  await engine.load({ modelFolder: "", ...JOB.engine, allowCpu: true, memoryBudgetBytes: null });
  const exponents = Int8Array.of(-26, -26);
  let lossSum = 0;
  for (const [index, { number, microBatchCount, learningRate }] of innerLoop.innerSteps.entries()) {
    let labelCount = 0;
    for (let i = 0; i < microBatchCount; i++) {
      const result = await engine.computeGradient(microBatchOf(number + i), number + i);
      await engine.accumulate(exponents);
      labelCount += result.labelCount;
      lossSum += result.lossSum;
    }
    const sums = await engine.readSums();
    await engine.update({
      ...OPTIMIZER,
      sums,
      exponents,
      labelCount,
      learningRate,
      updateNumber: index + 1,
    });
    await engine.commit();
  }
  const expected = await engine.exportState();
  state.adapter.forEach((value, i) => assert(Math.abs(value - expected.adapter[i]!) < 1e-5, `element ${i}`));
  // The losses of later steps follow from adapters that differ in their last places.
  assert(Math.abs(loss!.lossSum - lossSum) < 1e-4, `${loss!.lossSum} is not ${lossSum}`);
});

Deno.test("a gradient that does not fit its exponents has its inner step computed once more, every time the same bits", async () => {
  // Micro-batch 13 is 2^12 times as large as the step before let expect; then its step fits.
  const spoil = (gradient: Float32Array, number: number) => {
    if (number === 13) gradient.forEach((value, i) => gradient[i] = 2 ** 12 * value);
  };
  const { engine, loss, asked, tokens, state } = await run(innerLoopOf(2, 3, 1), { spoil });
  assertEquals(engine.callCounts.computeGradient, 6 + 3);
  assertEquals(asked, [10, 11, 12, 13, 14, 15]);
  assertEquals([tokens.length, loss!.labelCount], [9, 24]);
  const again = await run(innerLoopOf(2, 3, 1), { spoil });
  assertEquals([again.state, again.loss], [state, loss]);
  assertNotEquals((await run(innerLoopOf(2, 3, 1))).state, state);
});

Deno.test("the first gradient that is not finite ends the inner loop", async () => {
  const spoil = (gradient: Float32Array, number: number) => void (number === 12 && (gradient[70] = NaN));
  const { engine, loss } = await run(innerLoopOf(2, 3, 1), { spoil });
  assertEquals([loss, engine.callCounts.computeGradient], [null, 3]);
});

Deno.test("an abort is noticed between two micro-batches", async () => {
  const over = new AbortController();
  const reason = new LoraFleetError("aborted", "the coordinator has moved on");
  let calls = 0;
  const fault: ToyEngineOptions["fault"] = (call) => {
    if (call === "computeGradient" && ++calls === 4) over.abort(reason);
  };
  const error = await assertRejects(() => run(innerLoopOf(2, 3, 1), { fault }, over.signal), LoraFleetError);
  assertEquals([error, calls], [reason, 4]);
});

Deno.test("a step whose micro-batches train no token is an error, not a division by 0", async () => {
  const engine = createToyEngine({ clock: createFakeClock() });
  await engine.load({ modelFolder: "", ...JOB.engine, allowCpu: true, memoryBudgetBytes: null });
  const batch = { ...microBatchOf(1), labels: new Int32Array(4).fill(-100) };
  await assertRejects(
    () =>
      runInnerLoop(engine, {
        ...{
          innerLoop: innerLoopOf(1),
          optimizer: OPTIMIZER,
          headroomBits: 3,
          keptShare: 0.75,
          signal: new AbortController().signal,
        },
        ...{ rowsOf: () => Promise.resolve(batch), onComputed: () => {} },
      }),
    LoraFleetError,
    "train no token",
  );
});
