import { assertEquals, assertThrows } from "@std/assert";
import { loraSchema } from "../job/job_spec_schema.ts";
import { LoraFleetError } from "../errors.ts";
import { linearModules } from "../model/model_tensors.ts";
import { loadLadderCase } from "../../tests/golden/golden.ts";
import { openCheckpoint } from "../checkpoint/checkpoint_reader.ts";
import { planLora } from "./lora_plan.ts";

const { spec } = await openCheckpoint(loadLadderCase("gqa_tied").modelFolder);
const plan = (fields: Record<string, unknown>) => planLora(spec, loraSchema.parse({ r: 4, ...fields }));

Deno.test("target modules match by whole parts of their names, all-linear every linear layer", () => {
  const names = (targets: unknown) => [...plan({ target_modules: targets }).modules.keys()];
  assertEquals(names(["q_proj"]), ["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"]);
  assertEquals(names(["model.layers.1.mlp.up_proj"]), ["model.layers.1.mlp.up_proj"]);
  assertEquals(names(["layers.1.mlp.up_proj", "up_proj"]).length, 2);
  assertEquals(names("all-linear"), linearModules(spec).map(({ name }) => name));
  for (const target of ["proj", "_proj", "lm_head", "q_proj.weight"]) {
    const error = assertThrows(() => names(["q_proj", target]), LoraFleetError, `"${target}"`);
    assertEquals([error.code, error.param], ["invalid_request", "lora.target_modules"]);
  }
});

Deno.test("tensors lie one after the other, each from a multiple of 64 on, A before B", () => {
  const { layout, modules } = plan({ target_modules: ["k_proj", "up_proj"] });
  let end = 0;
  let parameters = 0;
  for (const { name, shape: [rows, columns], offset } of layout.tensors) {
    assertEquals([offset % 64, offset - end < 64, offset >= end], [0, true, true], name);
    end = offset + rows * columns;
    parameters += rows * columns;
  }
  assertEquals([layout.elementCount, layout.parameterCount], [Math.ceil(end / 64) * 64, parameters]);
  for (const [name, { a, b, index }] of modules) {
    const [first, second] = [layout.tensors[a]!, layout.tensors[b]!];
    const linear = linearModules(spec).find((module) => module.name === name)!;
    assertEquals(first, {
      ...first,
      name: `base_model.model.${name}.lora_A.weight`,
      shape: [4, linear.inFeatures],
    });
    assertEquals(second, {
      ...second,
      name: `base_model.model.${name}.lora_B.weight`,
      shape: [linear.outFeatures, 4],
    });
    assertEquals([a, b], [2 * index, 2 * index + 1]);
  }
});

Deno.test("modules have ranks of their own; buffers are made for the largest", () => {
  const { rank, modules, layout } = plan({
    target_modules: ["q_proj", "down_proj"],
    rank_pattern: { q_proj: 6, "layers\\.1\\.mlp\\..*": 2 },
    alpha_pattern: { q_proj: 3 },
  });
  assertEquals(rank, 6);
  assertEquals([...modules.values()].map(({ rank, scale }) => [rank, scale]), [[6, 0.5], [4, 4], [6, 0.5], [
    2,
    8,
  ]]);
  for (const { a, b, rank } of modules.values()) {
    assertEquals([layout.tensors[a]!.shape[0], layout.tensors[b]!.shape[1]], [rank, rank]);
  }
});

Deno.test("the scale is alpha over r, with rsLoRA over its root; without LoRA it is 0", () => {
  const scales = (fields: Record<string, unknown>) =>
    new Set([...plan(fields).modules.values()].map(({ scale }) => scale));
  assertEquals(scales({ lora_alpha: 6 }), new Set([1.5]));
  assertEquals(scales({ lora_alpha: 6, use_rslora: true }), new Set([3]));
  const none = planLora(spec, null);
  assertEquals([none.rank, none.modules.size, none.layout.elementCount], [0, 0, 0]);
});

Deno.test("a rank above a layer's size is placed as PEFT places it", () => {
  const { layout, rank } = plan({ r: 200, target_modules: ["k_proj"] });
  assertEquals([rank, layout.tensors[0]!.shape, layout.tensors[1]!.shape], [200, [200, 96], [32, 200]]);
});

Deno.test("a pattern places LoRA on the layers whose whole names it matches", () => {
  const { modules } = plan({ target_modules: "model\\.layers\\.1\\.(self_attn|mlp)\\.(q|up)_proj" });
  assertEquals([...modules.keys()], ["model.layers.1.self_attn.q_proj", "model.layers.1.mlp.up_proj"]);
});
