import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { z } from "zod";
import { readGolden } from "../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../errors.ts";
import { modelModules } from "../model/model_tensors.ts";
import { parseTransformerSpec } from "../model/parse_transformer_spec.ts";
import { adapterModules, checkSpecAgainstModel } from "./adapter_modules.ts";
import { checkModuleChoice } from "./chosen_modules.ts";
import { loraSchema, type LoraSpec } from "./job_spec_schema.ts";

const golden = await readGolden(
  "peft_modules.json",
  z.object({
    config: z.looseObject({}),
    cases: z.array(z.object({
      lora: loraSchema,
      modules: z.record(z.string(), z.tuple([z.number(), z.number(), z.number()])),
    })),
  }),
);
/** Twelve layers of a Llama. */
const MODULES = modelModules(parseTransformerSpec(golden.config));

Deno.test("modules, ranks and scales are those that PEFT gives them", () => {
  for (const { lora, modules } of golden.cases) {
    const at = JSON.stringify(lora);
    const found = adapterModules(lora, MODULES);
    assertEquals(found.map(({ name }) => name).toSorted(), Object.keys(modules).toSorted(), at);
    for (const { name, rank, scale } of found) {
      assertEquals(rank, modules[name]![0], `${at} ${name}`);
      assertAlmostEquals(scale, modules[name]![2], 1e-15 * scale, `${at} ${name}`);
    }
  }
});

const refusal = (
  fields: object,
  check: (lora: LoraSpec) => unknown = (lora) => adapterModules(lora, MODULES),
) => {
  const { code, param, message } = assertThrows(() => check(loraSchema.parse(fields)), LoraFleetError);
  assertEquals(code, "invalid_request");
  return [param, message];
};

Deno.test("a pattern that matches no adapter, or whose order PEFT would not keep, is refused", () => {
  for (const field of ["rank_pattern", "alpha_pattern"]) {
    assertEquals(refusal({ [field]: { q_proj: 2, k_proj: 3 } }), [
      `lora.${field}`,
      `lora.${field}: "k_proj" matches none of the 24 layers that get an adapter; the first one is called ` +
      `"model.layers.0.self_attn.q_proj"`,
    ]);
    assertEquals(refusal({ [field]: { "q_proj": 2, "layers.0.*": 3 } }), [
      `lora.${field}`,
      `lora.${field}: "q_proj" and "layers.0.*" both match "model.layers.0.self_attn.q_proj"; PEFT saves them in ` +
      "alphabetical order, and the first that matches counts: write keys that do not overlap",
    ]);
    assertEquals(refusal({ [field]: { "q_proj(": 2 } })[0], `lora.${field}`);
  }
  adapterModules(loraSchema.parse({ rank_pattern: { "layers.0.*": 3, q_proj: 2 } }), MODULES);
});

Deno.test("modules that are left out: a name that matches nothing, or all of them", () => {
  assertEquals(refusal({ exclude_modules: ["v_proj", "vproj"] }), [
    "lora.exclude_modules",
    'lora.exclude_modules: "vproj" matches no module of the base model',
  ]);
  assertEquals(refusal({ exclude_modules: "v_proj" }), [
    "lora.exclude_modules",
    'lora.exclude_modules: "v_proj" matches no module of the base model',
  ]);
  assertEquals(refusal({ exclude_modules: ".*_proj" }), [
    "lora.exclude_modules",
    'lora.exclude_modules is ".*_proj", which leaves none of the 24 layers that lora.target_modules names',
  ]);
});

Deno.test("layers that the model lacks are refused by their numbers", () => {
  assertEquals(refusal({ layers_to_transform: [3, 12, 40] }), [
    "lora.layers_to_transform",
    "lora.layers_to_transform names layer 12, 40, but the targeted modules lie in layers 0 to 11",
  ]);
  assertEquals(refusal({ layers_to_transform: 1, layers_pattern: "h" }), [
    "lora.layers_to_transform",
    'lora.layers_to_transform names layer 1, but no targeted module lies in numbered layers called "h"',
  ]);
});

Deno.test("fields that do not go together are refused without a model", () => {
  const refused = (fields: object) => refusal(fields, checkModuleChoice);
  assertEquals(refused({ layers_pattern: "layers" })[0], "lora.layers_pattern");
  const [param, message] = refused({ layers_to_transform: [0], target_modules: "all-linear" });
  assertEquals(param, "lora.layers_to_transform");
  assertEquals(message!.includes("list the modules by their last names"), true, message!);
  assertEquals(refused({ exclude_modules: "(" })[0], "lora.exclude_modules");
  assertEquals(
    refused({ layers_to_transform: 1, layers_pattern: ["layers", "["] })[0],
    "lora.layers_pattern",
  );
});

Deno.test("an adapter too large for any worker is refused by the field that makes it so", () => {
  const modules = {
    linear: [{ name: "model.layers.0.mlp.up_proj", outFeatures: 2 ** 20, inFeatures: 2 ** 20 }],
    other: [],
  };
  const check = (fields: object) =>
    assertThrows(
      () =>
        checkSpecAgainstModel(
          { lora: loraSchema.parse({ target_modules: ["up_proj"], ...fields }) },
          modules,
        ),
      LoraFleetError,
    ).param;
  assertEquals([check({ r: 700 }), check({ rank_pattern: { up_proj: 700 } })], [
    "lora.r",
    "lora.rank_pattern",
  ]);
});
