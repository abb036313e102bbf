/** Inner loops on the real engine: the same bits every time, and the committed state untouched. */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import type { InnerLoop } from "../../shared/protocol/inner_loop_codec.ts";
import { loadLadderCase } from "../../tests/golden/golden.ts";
import { documentAt } from "../../tests/golden/golden_model.ts";
import { goldenEngineSpec, loadGolden, optimizerOf } from "../../tests/golden/golden_steps.ts";
import { TrainingEngine } from "../engine/training_engine.ts";
import { LocalStepsEngine } from "./local_steps_engine.ts";
import { digestOf } from "../optimizer/adamw_state.ts";

const golden = loadLadderCase("gqa_tied");
/** Five micro-batches of one document each. */
const documents = golden.batches.flatMap(({ batch }) =>
  [...new Set(batch.segmentStarts)].map((start) => documentAt(batch, start))
);
const { learningRate, updateNumber: _, ...optimizer } = optimizerOf(golden, 2);
const OPTIONS = {
  optimizer,
  outer: { outerLearningRate: 0.7, outerMomentum: 0.9 },
  headroomBits: 3,
  keptShare: 0.75,
};
/** Of the LoRA tensors that the case has. */
const exponents = (tensorCount: number) => new Int8Array(tensorCount).fill(-30);

/** Four inner steps over all documents but one, beginning at a different one each time. */
const innerLoopOf = (first: number): InnerLoop => ({
  innerSteps: [0, 1, 2, 3].map((i) => ({ number: first + i, microBatchCount: 2, learningRate })),
});

async function loaded() {
  const engine = new LocalStepsEngine(new TrainingEngine(), OPTIONS);
  await loadGolden(engine, golden);
  const innerLoop = (first: number, signal = new AbortController().signal, onComputed = () => {}) =>
    engine.computeInnerLoop({
      ...{ innerLoop: innerLoopOf(first), onComputed, signal },
      rowsOf: (number) => Promise.resolve(documents[number % documents.length]!),
    });
  const sumsOf = async (first: number) => {
    const { maxAbs } = await innerLoop(first);
    await engine.accumulate(exponents(maxAbs.length));
    const sums = await engine.readSums();
    await engine.dropSums();
    return { maxAbs, sums };
  };
  return { engine, innerLoop, sumsOf };
}

const one = await loaded();
const other = await loaded();
const initial = await one.engine.exportState();

Deno.test("an inner loop gives the same bits twice, on two engines, and after others; the committed state stays", async () => {
  const first = await one.sumsOf(0);
  assert(first.sums.some((sum) => sum !== 0));
  assert(first.maxAbs.every((max) => max > 0 && max < 4 * 1.3 * learningRate), first.maxAbs.join());
  const second = await one.sumsOf(1);
  assertNotEquals(second.sums, first.sums);
  assertEquals(await one.sumsOf(0), first);
  assertEquals(await other.sumsOf(1), second);
  assertEquals(await other.sumsOf(0), first);
  assertEquals(await one.engine.exportState(), initial);
});

Deno.test("outer steps on two engines agree for any division of the inner loops; an aborted inner loop leaves nothing", async () => {
  const digests: string[][] = [[], []];
  for (let step = 0; step < 2; step++) {
    const [a, b] = [await one.sumsOf(step), await other.sumsOf(step + 2)];
    const over = new AbortController();
    await assertRejects(
      () => one.innerLoop(7, over.signal, () => over.abort(new LoraFleetError("aborted", "over"))),
      LoraFleetError,
      "over",
    );
    const sums = a.sums.map((sum, i) => sum + b.sums[i]!);
    for (const [index, { engine }] of [one, other].entries()) {
      const { digest, gradientNorm } = await engine.update({
        ...{ ...optimizer, labelCount: 1, learningRate, updateNumber: step + 1, replicaCount: 2 },
        ...{ sums: sums.slice(), exponents: exponents(a.maxAbs.length) },
      });
      assert(gradientNorm > 0);
      digests[index]!.push(digest);
    }
    // The other one computes again before it hears of the commit.
    await other.innerLoop(3);
    for (const { engine } of [one, other]) await engine.commit();
  }
  assertEquals(digests[0], digests[1]);
  const state = await one.engine.exportState();
  assertEquals([digestOf(state), state.updateCount], [digests[0]![1], 2]);
  assertEquals(await other.engine.exportState(), state);
});

Deno.test("files written during an inner loop hold the committed adapter", async () => {
  const folders = [await Deno.makeTempDir(), await Deno.makeTempDir()];
  try {
    await one.innerLoop(5);
    await one.engine.writeAdapter(folders[0]!, "base");
    const plain = new TrainingEngine();
    await plain.load(goldenEngineSpec(golden));
    await plain.importState(await one.engine.exportState());
    await plain.writeAdapter(folders[1]!, "base");
    await plain.close();
    const [written, expected] = folders.map((folder) =>
      Deno.readFileSync(`${folder}/adapter_model.safetensors`)
    );
    assertEquals(written, expected);
  } finally {
    for (const folder of folders) await Deno.remove(folder, { recursive: true });
  }
});
