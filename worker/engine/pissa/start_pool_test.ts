import { assertEquals, assertRejects } from "@std/assert";
import { openCheckpoint } from "../../../shared/checkpoint/checkpoint_reader.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { adapterModules } from "../../../shared/job/adapter_modules.ts";
import { modelModules } from "../../../shared/model/model_tensors.ts";
import { loadLadderCase } from "../../../tests/golden/golden.ts";
import { pissaThreadBytes } from "../../../shared/memory/pissa_cost.ts";
import { computeStarts, threadsFor } from "./start_pool.ts";

const { modelFolder, lora } = loadLadderCase("gqa_tied");
const modules = adapterModules(lora, modelModules((await openCheckpoint(modelFolder)).spec));

for (const iterations of [null, 2]) {
  Deno.test(`any number of threads gives the same bits: ${iterations ?? "exact"}`, async () => {
    const options = { modelFolder, modules, iterations };
    const alone = await computeStarts({ ...options, threads: 1 });
    const together = await computeStarts({ ...options, threads: 3 });
    assertEquals(together.size, modules.length);
    for (const [name, factors] of alone) assertEquals(together.get(name), factors, name);
  });
}

Deno.test("a weight that cannot be read fails the load, naming it, and ends the threads", async () => {
  const broken = modules.map((module, at) => at === 5 ? { ...module, outFeatures: 7 } : module);
  const options = { modelFolder, modules: broken, iterations: 0, threads: 2 };
  const { code, message } = await assertRejects(() => computeStarts(options), LoraFleetError);
  assertEquals([code, message.includes(broken[5]!.name)], ["invalid_model", true]);
});

Deno.test("threads are bounded by processors, weights and free memory; little work takes none", () => {
  const large = Array.from({ length: 9 }, (_, at) => ({
    ...{ name: `m${at}`, outFeatures: 4096, inFeatures: 4096, rank: 16, scale: 1 },
  }));
  const bytes = pissaThreadBytes(large);
  const on = (processors: number, availableBytes: number) =>
    threadsFor(large, { processors, availableBytes });
  assertEquals([on(2, 100 * bytes), on(64, 100 * bytes), on(8, 6 * bytes), on(8, bytes)], [2, 9, 3, 1]);
  assertEquals(threadsFor(modules, { processors: 8, availableBytes: 100 * bytes }), 1);
});
