import { assertAlmostEquals } from "@std/assert";
import { planLora } from "../../shared/memory/lora_plan.ts";
import { recomputedShare } from "../../shared/memory/layer_products.ts";
import { parseLensOptions } from "./options.ts";
import { recordStep } from "./step.ts";
import { summarize } from "./summary.ts";

for (const model of ["llama3-1b", "llama2-7b"]) {
  Deno.test(`${model}: what the memory plan says of a layer that is computed again is what the lens counts`, async () => {
    const options = parseLensOptions(["--model", model, "--card", "h200"]);
    const { spec, card, lora } = options;
    const flopsOf = async (gradientCheckpointing: boolean) =>
      summarize(await recordStep(spec, card, { ...options, gradientCheckpointing }), card).flops;
    const [again, kept] = [await flopsOf(true), await flopsOf(false)];
    const share = (again - kept) / (spec.layerCount - 1) / kept;
    // Attention's products, a twentieth of a step of 2048 tokens, and a large vocabulary's second logits are left out.
    assertAlmostEquals(recomputedShare(spec, planLora(spec, lora)) / share, 1.07, 0.07);
  });
}
