import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { LADDER_CASES, loadLadderCase } from "../../tests/golden/golden.ts";
import { documentAt } from "../../tests/golden/golden_model.ts";
import { goldenEngineSpec, loadGolden, optimizerOf, runStep } from "../../tests/golden/golden_steps.ts";
import { trainingTolerance } from "../../tests/golden/golden_tolerance.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { readAdapter } from "../model/adapter_file.ts";
import { TrainingEngine } from "./training_engine.ts";

async function goldenEngine(golden: ReturnType<typeof loadLadderCase>): Promise<TrainingEngine> {
  const engine = new TrainingEngine();
  await loadGolden(engine, golden);
  return engine;
}

for (const name of LADDER_CASES) {
  Deno.test(`${name}: ten steps of AdamW give the goldens' losses, norms and adapter, and PEFT's files`, async () => {
    const golden = loadLadderCase(name);
    const { training, f32Error, finalAdapter } = golden;
    const engine = await goldenEngine(golden);
    const batches = golden.batches.map(({ batch }) => batch);
    let before: Float32Array | null = null;
    for (let step = 0; step < training.losses.length; step++) {
      const { meanLoss, gradientNorm, maxAbs } = await runStep(
        [engine],
        batches,
        [[0, 1]],
        optimizerOf(golden, step),
        before,
      );
      before = maxAbs;
      assertNear(`loss of step ${step}`, meanLoss, training.losses[step]!, f32Error.get("losses")!);
      assertNear(
        `norm of step ${step}`,
        gradientNorm,
        training.gradientNorms[step]!,
        f32Error.get("gradient_norms")!,
      );
    }

    const folder = await Deno.makeTempDir();
    try {
      await engine.writeAdapter(folder, `golden/${name}`);
      assertEquals(configOf(folder), configOf(golden.adapterFolder));
      const [ours, theirs] = [await readAdapter(folder), await readAdapter(golden.adapterFolder)];
      const outline = ({ tensors }: typeof ours) => tensors.map(({ name, shape }) => ({ name, shape }));
      assertEquals(outline(ours), outline(theirs));
      for (const { name, data } of ours.tensors) {
        const expected = finalAdapter.get(name)!;
        data.forEach((value, i) => assertNear(`${name}[${i}]`, value, expected[i]!, f32Error.get("final")!));
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
      await engine.close();
    }
  });
}

const golden = loadLadderCase("gqa_tied");
/** Five micro-batches of one document each. */
const documents = golden.batches.flatMap(({ batch }) =>
  [...new Set(batch.segmentStarts)].map((start) => documentAt(batch, start))
);

Deno.test("the digest does not depend on how many engines did a step, nor on who did what and when", async () => {
  const assignments = [
    [[0, 1, 2, 3, 4]],
    [[4, 2, 0, 3, 1]],
    [[1, 3], [4, 0, 2]],
    [[], [3, 4, 1, 0, 2]],
  ];
  const outcomes = [];
  for (const assignment of assignments) {
    const engines = await Promise.all(assignment.map(() => goldenEngine(golden)));
    const first = await runStep(engines, documents, assignment, optimizerOf(golden, 2), null);
    const second = await runStep(engines, documents, assignment, optimizerOf(golden, 3), first.maxAbs);
    outcomes.push([first, second]);
    for (const engine of engines) await engine.close();
  }
  for (const outcome of outcomes) assertEquals(outcome, outcomes[0]);
  assertNotEquals(outcomes[0]![0]!.digest, outcomes[0]![1]!.digest);
});

Deno.test("a rollback leaves nothing of an attempt, before its update and after it", async () => {
  const clean = await goldenEngine(golden);
  const troubled = await goldenEngine(golden);
  const exponents = new Int8Array((await troubled.computeGradient(documents[0]!, 0)).maxAbs.length).fill(-20);
  await troubled.accumulate(exponents);
  await troubled.rollback();
  assertEquals((await troubled.takeSums()).findIndex((sum) => sum !== 0), -1);

  await troubled.computeGradient(documents[1]!, 1);
  await troubled.accumulate(exponents);
  const sums = await troubled.takeSums();
  assert(sums.some((sum) => sum !== 0));
  await troubled.update({ sums, exponents, targetCount: 3, ...optimizerOf(golden, 2) });
  await troubled.rollback();
  const error = await assertRejects(() => troubled.commit(), LoraFleetError, "no update");
  assertEquals(error.code, "conflict");
  assertEquals(await troubled.exportState(), await clean.exportState());

  const step = [documents, [[0, 1, 2, 3, 4]], optimizerOf(golden, 2), null] as const;
  assertEquals(await runStep([troubled], ...step), await runStep([clean], ...step));
  await troubled.close();
  await clean.close();
});

Deno.test("an exported state goes on elsewhere, bit for bit, also over another state", async () => {
  const engine = await goldenEngine(golden);
  const step = (which: TrainingEngine, number: number, before: Float32Array | null) =>
    runStep([which], documents, [[0, 1, 2, 3, 4]], optimizerOf(golden, number), before);
  const first = await step(engine, 2, null);
  const state = await engine.exportState();
  assertEquals(state.updateCount, 1);
  const expected = [await step(engine, 3, first.maxAbs)];
  expected.push(await step(engine, 4, expected[0]!.maxAbs));

  const other = new TrainingEngine();
  await other.load({ ...goldenEngineSpec(golden), seed: 5 });
  for (const target of [other, engine]) {
    assertEquals(await target.importState(state), { digest: first.digest });
    const found = [await step(target, 3, first.maxAbs)];
    found.push(await step(target, 4, found[0]!.maxAbs));
    assertEquals(found, expected);
    assertEquals((await target.exportState()).updateCount, 3);
  }
  const short = { ...state, firstMoment: state.firstMoment.slice(1) };
  const error = await assertRejects(() => engine.importState(short), LoraFleetError, "firstMoment has");
  assertEquals(error.code, "corrupt");
  await other.close();
  await engine.close();
});

Deno.test("the sums of a gradient are its elements, rounded, times the tensor's power of two", async () => {
  const engine = await goldenEngine(golden);
  const { maxAbs } = await engine.computeGradient(documents[2]!, 2);
  const sumsAt = async (exponent: number) => {
    await engine.computeGradient(documents[2]!, 2);
    await engine.accumulate(new Int8Array(maxAbs.length).fill(exponent));
    return await engine.takeSums();
  };
  const fine = await sumsAt(-22);
  const coarse = await sumsAt(-10);
  coarse.forEach((sum, i) => assert(Math.abs(sum - fine[i]! / 2 ** 12) <= 0.5 + 2 ** -12, `element ${i}`));
  await engine.computeGradient(documents[2]!, 2);
  await engine.accumulate(new Int8Array(maxAbs.length).fill(-10));
  await engine.accumulate(new Int8Array(maxAbs.length).fill(-10));
  assertEquals(await engine.takeSums(), coarse.map((sum) => 2 * sum));
  await engine.close();
});

/** PEFT writes `target_modules` in no order. */
function configOf(folder: string): unknown {
  const config = JSON.parse(Deno.readTextFileSync(`${folder}/adapter_config.json`));
  return { ...config, target_modules: config.target_modules.toSorted() };
}

function assertNear(
  what: string,
  found: number,
  expected: number,
  goldens: { maxAbs: number; scale: number },
): void {
  const tolerance = trainingTolerance(goldens);
  const error = Math.abs(found - expected);
  assert(
    error <= tolerance,
    `${what} is ${found}, the golden is ${expected} (error ${error}, allowed ${tolerance})`,
  );
}
