import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { goldenPath, loadLadderCase } from "../../tests/golden/golden.ts";
import { goldenEngineSpec, optimizerOf, runStep } from "../../tests/golden/golden_steps.ts";
import { readAdapter } from "../files/adapter_file.ts";
import { TrainingEngine } from "./training_engine.ts";

const expected = JSON.parse(Deno.readTextFileSync(goldenPath("losses/pissa/case.json")));
const golden = loadLadderCase("gqa_tied");
const spec = goldenEngineSpec(golden);
const lora = { ...golden.lora, init_lora_weights: "pissa" };

Deno.test("ten steps of PiSSA on the NF4 residual have PEFT's losses; two workers start with the same bits", async () => {
  const engines = [new TrainingEngine(), new TrainingEngine()];
  const loaded = [];
  for (const engine of engines) loaded.push(await engine.load({ ...spec, lora }));
  assertEquals(loaded[0]!.digest, loaded[1]!.digest);
  assertEquals(loaded[0]!.pissaDigest?.length, 64);
  assertStringIncludes(loaded[0]!.planText, "PiSSA: 14 weights taken apart in ");
  const batches = golden.batches.map(({ batch }) => batch);
  let before: Float32Array | null = null;
  for (const [step, loss] of expected.losses.entries()) {
    const found = await runStep(engines, batches, [[0], [1]], optimizerOf(golden, step), before);
    before = found.maxAbs;
    assert(
      Math.abs(found.meanLoss - loss) <= 1e-4 * loss + 1e-5,
      `step ${step}: ${found.meanLoss}, not ${loss}`,
    );
  }
  const folder = await Deno.makeTempDir();
  try {
    await engines[1]!.writeAdapter(folder, "golden/gqa_tied");
    const written = await readAdapter(folder);
    assertEquals([written.lora.r, written.lora.lora_alpha, written.pissa?.r], [8, 16, 4]);
  } finally {
    await Deno.remove(folder, { recursive: true });
    for (const engine of engines) await engine.close();
  }
});

Deno.test("a base model in NF4, and a rank above a layer's, are refused before anything is taken apart", async () => {
  const engine = new TrainingEngine();
  const nf4 = await assertRejects(
    () => engine.load({ ...spec, lora, modelFolder: `${spec.modelFolder}_nf4` }),
    LoraFleetError,
    "stored in NF4",
  );
  assertEquals([nf4.code, nf4.param], ["invalid_request", "lora.init_lora_weights"]);
  const high = { ...lora, r: 33 };
  const rank = await assertRejects(
    () => engine.load({ ...spec, lora: high }),
    LoraFleetError,
    "lora.r is 33",
  );
  assertEquals(rank.param, "lora.r");
  await engine.close();
});
