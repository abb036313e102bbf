import { assert, assertEquals } from "@std/assert";
import { loadLadderCase } from "../../tests/golden/golden.ts";
import { gradientOf, loadGoldenModel } from "../../tests/golden/golden_model.ts";
import { Gpu } from "../device/gpu.ts";

Deno.test("loss and gradient have the same bits in three submits and in two hundred", async () => {
  const golden = loadLadderCase("gqa_tied");
  const { batch } = golden.batches[0]!;
  const outcomes = [];
  const counts: number[] = [];
  for (const submitTargetMs of [100_000, 0.01]) {
    const gpu = await Gpu.open({ allowCpu: true, submitTargetMs });
    const model = await loadGoldenModel(golden, { gpu });
    const before = gpu.pass.submits.stats.count;
    outcomes.push(await gradientOf(model, batch));
    counts.push(gpu.pass.submits.stats.count - before);
    // Whoever knows the speed cuts elsewhere.
    assertEquals(await gradientOf(model, batch), outcomes[0]);
    gpu.close();
  }
  assertEquals(outcomes[1], outcomes[0]);
  assert(counts[0]! <= 3 && counts[1]! >= 100, `${counts} submits`);
});
