import { assert, assertEquals } from "@std/assert";
import { LADDER_CASES, loadLadderCase } from "../../tests/golden/golden.ts";
import { loadGolden, optimizerOf, runStep } from "../../tests/golden/golden_steps.ts";
import { trainingTolerance } from "../../tests/golden/golden_tolerance.ts";
import { readAdapter } from "../files/adapter_file.ts";
import { TrainingEngine } from "./training_engine.ts";

for (const name of LADDER_CASES) {
  Deno.test(`${name}: ten steps of AdamW give the goldens' losses, norms and adapter, and PEFT's files`, async () => {
    const golden = loadLadderCase(name);
    const { training, f32Error, finalAdapter } = golden;
    const engine = new TrainingEngine();
    await loadGolden(engine, golden);
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
