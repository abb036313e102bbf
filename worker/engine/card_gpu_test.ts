/** The engine on what counts as a graphics card: its kernels, its waits for a GPU that may be lost, its submits by learnt speed. */
import { assert, assertEquals } from "@std/assert";
import { type LadderCase, loadLadderCase } from "../../tests/golden/golden.ts";
import { goldenEngineSpec, loadGolden, optimizerOf, runStep } from "../../tests/golden/golden_steps.ts";
import { trainingTolerance } from "../../tests/golden/golden_tolerance.ts";
import type { openDevice } from "../device/open_device.ts";
import { cardDevice } from "../device/testing/card_device.ts";
import type { EngineSpec } from "./engine.ts";
import { ResettingEngine } from "./resetting_engine.ts";
import { TrainingEngine } from "./training_engine.ts";

const STEPS = 2;

/** Mesa's driver compiles a kernel when it first runs, within what the GPU's clock measures: told on a machine with other work. */
const COMPILING = /^the GPU was busy for/;

/** Losses, norms and digests of the first steps, and what the engine told. */
async function train(golden: LadderCase, open: typeof openDevice) {
  const notes: string[] = [];
  const inner = new TrainingEngine({ open, tell: (note) => notes.push(note) });
  const engine = new ResettingEngine(inner, { tell: ({ note }) => notes.push(note) });
  const load = (spec: EngineSpec) => engine.load({ ...spec, memoryBudgetBytes: 2 ** 28 });
  await loadGolden({ load, importState: (state) => engine.importState(state) }, golden);
  const steps = [];
  let before: Float32Array | null = null;
  const batches = golden.batches.map(({ batch }) => batch);
  try {
    for (let step = 0; step < STEPS; step++) {
      const outcome = await runStep([engine], batches, [[0, 1]], optimizerOf(golden, step), before);
      before = outcome.maxAbs;
      steps.push(outcome);
    }
  } finally {
    await engine.close();
  }
  return { steps, notes };
}

for (const name of ["gqa_tied"] as const) {
  Deno.test(`${name}: a card's kernels give the goldens' losses, with a clock and without to the same bits, and nothing is told`, async () => {
    const golden = loadLadderCase(name);
    assert(goldenEngineSpec(golden).allowCpu);
    const { steps, notes } = await train(golden, cardDevice());
    const blind = await train(golden, cardDevice({ hasClock: false }));
    assertEquals([...notes, ...blind.notes].filter((note) => !COMPILING.test(note)), []);
    assertEquals(blind.steps.map(({ digest }) => digest), steps.map(({ digest }) => digest));
    const { training: { losses, gradientNorms }, f32Error } = golden;
    for (const [index, { meanLoss, gradientNorm }] of steps.entries()) {
      const lossTolerance = trainingTolerance(f32Error.get("losses")!);
      assert(Math.abs(meanLoss - losses[index]!) <= lossTolerance, `loss of step ${index}: ${meanLoss}`);
      const normTolerance = trainingTolerance(f32Error.get("gradient_norms")!);
      assert(Math.abs(gradientNorm - gradientNorms[index]!) <= normTolerance, `norm of step ${index}`);
    }
  });
}
