import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import type { LinearModule } from "../model/model_tensors.ts";
import { jobSpecSchema } from "./job_spec_schema.ts";
import { checkSpecAgainstModel } from "./adapter_modules.ts";

const MINIMAL = { model: "org/llama", training_file: "file-1" };

const MODULES = ["q_proj", "k_proj", "down_proj"].map((name) => ({
  name: `model.layers.0.self_attn.${name}`,
  outFeatures: 16,
  inFeatures: 8,
}));
/** The linear layers, and names that PEFT would match as well. */
const of = (linear: LinearModule[]) => ({
  linear,
  other: ["", "model", "model.norm", "model.layers.0", "model.layers.0.self_attn"],
});
const loraOf = (lora: unknown) => jobSpecSchema.parse({ ...MINIMAL, lora });

Deno.test("target modules match by their last names, as in PEFT", () => {
  const names = (lora: unknown, modules = MODULES) =>
    checkSpecAgainstModel(loraOf(lora), of(modules)).map(({ name }) => name);
  assertEquals(names({ r: 8, target_modules: ["q_proj"] }), ["model.layers.0.self_attn.q_proj"]);
  assertEquals(names({ r: 8, target_modules: ["self_attn.k_proj"] }), ["model.layers.0.self_attn.k_proj"]);
  assertEquals(names({ r: 8, target_modules: [MODULES[2]!.name] }), [MODULES[2]!.name]);
  const withHead = [...MODULES, { name: "lm_head", outFeatures: 64, inFeatures: 8 }];
  assertEquals(names({ r: 8, target_modules: "all-linear" }, withHead), MODULES.map(({ name }) => name));
});

Deno.test("a target that is only the end of a name matches nothing, and the known names are listed", () => {
  for (const target_modules of [["proj"], ["q_proj", "vproj"]]) {
    const error = assertThrows(
      () => checkSpecAgainstModel(loraOf({ target_modules }), of(MODULES)),
      LoraFleetError,
    );
    assertEquals([error.code, error.param], ["invalid_request", "lora.target_modules"]);
    assertStringIncludes(error.message, '"q_proj", "k_proj", "down_proj"');
  }
});

Deno.test("a rank above the layer's smaller side is PEFT's own affair", () => {
  const spec = loraOf({ r: 9, target_modules: ["q_proj"] });
  assertEquals(checkSpecAgainstModel(spec, of(MODULES)).length, 1);
});

Deno.test("an adapter beyond the optimizer's arrays is refused with the rank that would do", () => {
  const modules = Array.from({ length: 224 }, (_, i) => ({
    name: `model.layers.${i}.mlp.up_proj`,
    outFeatures: 11008,
    inFeatures: 4096,
  }));
  const check = (r: number) => checkSpecAgainstModel(loraOf({ r, target_modules: ["up_proj"] }), of(modules));
  assertEquals(check(317).length, 224);
  const error = assertThrows(() => check(318), LoraFleetError, "lower it to at most 317");
  assertEquals(error.param, "lora.r");
});

const LAYERS = [0, 1].flatMap((layer) =>
  ["self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj"].map((part) => ({
    name: `model.layers.${layer}.${part}`,
    outFeatures: 16,
    inFeatures: 8,
  }))
);

Deno.test("a text is a regular expression for a module's whole name, as Python's re.fullmatch has it", () => {
  const names = (target_modules: string) =>
    checkSpecAgainstModel(loraOf({ target_modules }), of(LAYERS)).map(({ name }) => name);
  assertEquals(names(".*\\.self_attn\\.(q_proj|v_proj)").length, 4);
  assertEquals(names("model\\.layers\\.1\\..*_proj"), LAYERS.slice(3).map(({ name }) => name));
  assertEquals(names("(?P<all>.*)\\.up_proj\\Z").length, 2);
  assertEquals(names("ALL-Linear").length, 6);
});

Deno.test("a pattern that matches nothing, too much or is none is refused by its field", () => {
  for (
    const [target_modules, words] of [
      ["self_attn\\.(q_proj|v_proj)", "no linear layer's whole name matches"],
      ["q_proj", 'the first one is called "model.layers.0.self_attn.q_proj"'],
      [".*", 'also matches ""'],
      [".*(q_proj|norm)", 'also matches "model.norm"'],
      ["model\\.layers\\.0\\..+", 'also matches "model.layers.0.self_attn"'],
      ["((.*.*.*.*.*.*.*.*.*)+x)+".repeat(20), "takes too long"],
    ] as const
  ) {
    const error = assertThrows(
      () => checkSpecAgainstModel(loraOf({ target_modules }), of(manyLayers())),
      LoraFleetError,
      words,
    );
    assertEquals([error.code, error.param], ["invalid_request", "lora.target_modules"]);
  }
});

function manyLayers() {
  return [
    ...LAYERS,
    ...Array.from({ length: 500 }, (_, i) => ({ ...LAYERS[0]!, name: `model.layers.${i}.mlp.x_proj` })),
  ];
}
