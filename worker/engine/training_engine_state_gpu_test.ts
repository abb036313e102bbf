import { assert, assertAlmostEquals, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { loadLadderCase } from "../../tests/golden/golden.ts";
import { countLabels } from "../../shared/data/packing/micro_batch.ts";
import { documentAt } from "../../tests/golden/golden_model.ts";
import { loadGolden, optimizerOf, runStep } from "../../tests/golden/golden_steps.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { addChecksum, checkWeights } from "../../shared/protocol/linear_check.ts";
import { Arrival } from "../async/arrival.ts";
import { turnOfEventLoop } from "../async/turn.ts";
import { TrainingEngine } from "./training_engine.ts";

const golden = loadLadderCase("gqa_tied");
/** Five micro-batches of one document each. */
const documents = golden.batches.flatMap(({ batch }) =>
  [...new Set(batch.segmentStarts)].map((start) => documentAt(batch, start))
);

/** Loaded once, because each new device compiles every kernel again; each test resets them to `initial`. */
const [engine, other] = [new TrainingEngine(), new TrainingEngine()] as const;
const initial = await loadGolden(engine, golden);
await loadGolden(other, golden);

async function restart(): Promise<void> {
  for (const each of [engine, other]) await each.importState(initial);
}

/** The sums, which begin at zero again. */
async function takeSums(which: TrainingEngine): Promise<Int32Array> {
  const sums = (await which.readSums()).slice();
  await which.dropSums();
  return sums;
}

/** A step by one engine alone. */
const stepOf = (which: TrainingEngine, number: number, before: Float32Array | null) =>
  runStep([which], documents, [[0, 1, 2, 3, 4]], optimizerOf(golden, number), before);

Deno.test("the digest does not depend on how many engines did a step, nor on the assignment or its order", async () => {
  const assignments = [[[0, 1, 2, 3, 4]], [[4, 2, 0, 3, 1]], [[1, 3], [4, 0, 2]], [[], [3, 4, 1, 0, 2]]];
  const outcomes = [];
  for (const assignment of assignments) {
    await restart();
    const engines = [engine, other].slice(0, assignment.length);
    const first = await runStep(engines, documents, assignment, optimizerOf(golden, 2), null);
    const second = await runStep(engines, documents, assignment, optimizerOf(golden, 3), first.maxAbs);
    outcomes.push([first, second]);
  }
  for (const outcome of outcomes) assertEquals(outcome, outcomes[0]);
  assertNotEquals(outcomes[0]![0]!.digest, outcomes[0]![1]!.digest);
});

Deno.test("weighted rows: a step's loss is the weighted mean, and the digest does not depend on who did which", async () => {
  const weights = [0.3, 1, 2.7, 1, 0.1];
  const weighted = documents.map((document, i) => ({
    ...document,
    ...weights[i] === 1 ? {} : { weights: new Float32Array(document.tokens.length).fill(weights[i]!) },
  }));
  const outcomes = [];
  for (const assignment of [[[0, 1, 2, 3, 4]], [[4, 1], [3, 0, 2]], [[], [2, 4, 0, 1, 3]]]) {
    await restart();
    const engines = [engine, other].slice(0, assignment.length);
    outcomes.push(await runStep(engines, weighted, assignment, optimizerOf(golden, 2), null));
  }
  for (const outcome of outcomes) assertEquals(outcome, outcomes[0]);
  await restart();
  const { lossSums, digest } = await stepOf(engine, 2, null);
  assertNotEquals(digest, outcomes[0]!.digest);
  const sumOf = (values: readonly number[]) => values.reduce((sum, value, i) => sum + weights[i]! * value, 0);
  const mean = sumOf(lossSums) / sumOf(documents.map(countLabels));
  assertAlmostEquals(outcomes[0]!.meanLoss, mean, 1e-5 * mean);
});

Deno.test("a rollback leaves nothing of an attempt, before its update and after it; a gradient is the committed adapter's", async () => {
  await restart();
  const { maxAbs } = await engine.computeGradient(documents[0]!, 0);
  const exponents = new Int8Array(maxAbs.length).fill(-20);
  await engine.accumulate(exponents);
  await engine.rollback();
  assertEquals((await engine.readSums()).findIndex((sum) => sum !== 0), -1);

  await engine.computeGradient(documents[1]!, 1);
  await engine.accumulate(exponents);
  const sums = await engine.readSums();
  assert(sums.some((sum) => sum !== 0));
  await engine.update({ sums, exponents, labelCount: 3, ...optimizerOf(golden, 2) });
  await turnOfEventLoop(); // the update's adapter is on the GPU
  const ofCommitted = await other.computeGradient(documents[0]!, 0);
  assertEquals(await engine.computeGradient(documents[0]!, 0), ofCommitted);
  assertEquals((await engine.readSums()).some((sum) => sum !== 0), true);
  await engine.rollback();
  const error = await assertRejects(() => engine.commit(), LoraFleetError, "no update");
  assertEquals(error.code, "conflict");
  assertEquals(await engine.exportState(), initial);
  assertEquals(await stepOf(engine, 2, null), await stepOf(other, 2, null));
});

Deno.test("sums are told of as they come, in the memory that they end in; what was told of is not written again", async () => {
  await restart();
  const { maxAbs } = await engine.computeGradient(documents[0]!, 0);
  await engine.accumulate(new Int8Array(maxAbs.length).fill(-20));
  const expected = (await engine.readSums()).slice();
  assert(expected.some((sum) => sum !== 0));
  const arrival = new Arrival();
  const sums = await engine.readSums(arrival);
  assertEquals([arrival.count, (await arrival.begun).buffer === sums.buffer], [expected.length, true]);
  assertEquals(sums, expected);
  sums.fill(7);
  const half = expected.length / 2;
  const again = await engine.readSums({ count: half, reach: () => {} });
  assertEquals(again.subarray(0, half), new Int32Array(half).fill(7));
  assertEquals(again.subarray(half), expected.subarray(half));
});

Deno.test("an exported state resumes on a different engine, bit for bit, and replaces that engine's state", async () => {
  await restart();
  const first = await stepOf(engine, 2, null);
  const state = await engine.exportState();
  assertEquals(state.updateCount, 1);
  const copy = await engine.copyAdapter();
  assertEquals([copy, copy.buffer instanceof ArrayBuffer], [Float32Array.from(state.adapter), true]);
  const second = await stepOf(engine, 3, first.maxAbs);
  const third = await stepOf(engine, 4, second.maxAbs);
  for (const target of [other, engine]) {
    assertEquals(await target.importState(state), { digest: first.digest });
    assertEquals(await stepOf(target, 3, first.maxAbs), second);
    assertEquals(await stepOf(target, 4, second.maxAbs), third);
    assertEquals((await target.exportState()).updateCount, 3);
  }
  await engine.accumulate(new Int8Array(first.maxAbs.length).fill(-20));
  await engine.importState(state);
  assertEquals((await engine.readSums()).findIndex((sum) => sum !== 0), -1);
  const short = { ...state, firstMoment: state.firstMoment.slice(1) };
  const error = await assertRejects(() => engine.importState(short), LoraFleetError, "firstMoment has");
  assertEquals(error.code, "corrupt");
});

Deno.test("the sums of a gradient are its elements, rounded, times the tensor's power of two", async () => {
  await restart();
  const { maxAbs } = await engine.computeGradient(documents[2]!, 2);
  const exponents = (exponent: number) => new Int8Array(maxAbs.length).fill(exponent);
  await engine.accumulate(exponents(-22));
  const fine = await takeSums(engine);
  await engine.accumulate(exponents(-10));
  const coarse = await takeSums(engine);
  coarse.forEach((sum, i) => assert(Math.abs(sum - fine[i]! / 2 ** 12) <= 0.5 + 2 ** -12, `element ${i}`));
  await engine.accumulate(exponents(-10));
  await engine.accumulate(exponents(-10));
  assertEquals(await takeSums(engine), coarse.map((sum) => 2 * sum));
});

Deno.test("sums with a length other than the adapter's are refused", async () => {
  await restart();
  const request = { exponents: new Int8Array(28), labelCount: 1, ...optimizerOf(golden, 2) };
  await assertRejects(
    () => engine.update({ ...request, sums: new Int32Array(64) }),
    RangeError,
    "64 gradient sums",
  );
  await assertRejects(() => engine.commit(), LoraFleetError, "no update");
});

Deno.test("a gradient's digest is the same on both engines and different for different rows, and leaves the sums right", async () => {
  await restart();
  const digests: string[] = [];
  for (const [which, number] of [[engine, 0], [other, 0], [other, 1], [engine, 0]] as const) {
    const { maxAbs } = await which.computeGradient(documents[number]!, number);
    digests.push(await which.gradientDigest());
    await which.accumulate(new Int8Array(maxAbs.length).fill(-20));
  }
  assertEquals([digests[1], digests[3]], [digests[0], digests[0]]);
  assertNotEquals(digests[2], digests[0]);
  const twice = await takeSums(engine);
  await other.rollback();
  const { maxAbs } = await other.computeGradient(documents[0]!, 0);
  await other.accumulate(new Int8Array(maxAbs.length).fill(-20));
  assertEquals(twice, (await takeSums(other)).map((sum) => 2 * sum));
});

Deno.test("a gradient's checksum is that of the integers that the GPU adds, tie by tie", async () => {
  await restart();
  for (const exponent of [-20, -2, -23]) {
    const { maxAbs } = await engine.computeGradient(documents[0]!, 0);
    const exponents = new Int8Array(maxAbs.length).fill(exponent);
    const checksum = await engine.gradientCheck(exponents, 77);
    await engine.accumulate(exponents);
    const words = new Int32Array(2);
    addChecksum(checkWeights(77), 0, await takeSums(engine), words);
    assertEquals(checksum, words);
  }
});
