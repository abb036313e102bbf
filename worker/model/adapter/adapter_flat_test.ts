import { assertEquals, assertThrows } from "@std/assert";
import { LADDER_CASES, loadLadderCase } from "../../../tests/golden/golden.ts";
import { flattenTensors } from "../../../tests/golden/golden.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { flattenAdapter } from "./adapter_flat.ts";
import { type Adapter, readAdapter } from "../../files/adapter_file.ts";
import { openCheckpoint } from "../../../shared/checkpoint/checkpoint_reader.ts";
import { planLora } from "../../../shared/memory/lora_plan.ts";

for (const name of LADDER_CASES) {
  Deno.test(`${name}: PEFT's adapter lies where its own configuration places it`, async () => {
    const golden = loadLadderCase(name);
    const adapter = await readAdapter(golden.adapterFolder);
    const { spec } = await openCheckpoint(golden.modelFolder);
    const { layout, modules } = planLora(spec, adapter.lora);
    assertEquals(flattenAdapter(layout, adapter), flattenTensors(layout, golden.finalAdapter));
    assertEquals(modules, planLora(spec, golden.lora).modules);
  });
}

Deno.test("an adapter of a different base model is refused by the tensor's name", async () => {
  const golden = loadLadderCase("gqa_tied");
  const adapter = await readAdapter(golden.adapterFolder);
  const { spec } = await openCheckpoint(golden.modelFolder);
  const { layout } = planLora(spec, adapter.lora);
  const [first, ...rest] = adapter.tensors;
  const cases: [tensors: Adapter["tensors"], words: string][] = [
    [rest, `"${first!.name}" is missing`],
    [[{ ...first!, shape: [2, 2] }, ...rest], `"${first!.name}" is [2, 2], the base model needs [`],
    [[...adapter.tensors, { ...first!, name: "surplus" }], `"surplus" belongs to no layer`],
  ];
  for (const [tensors, words] of cases) {
    const error = assertThrows(() => flattenAdapter(layout, { ...adapter, tensors }), LoraFleetError, words);
    assertEquals(error.code, "invalid_model");
  }
});
