import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "./errors.ts";
import { checkSpecAgainstModel, parseJobRequest } from "./job_spec.ts";

const MINIMAL = { model: "org/llama", training_file: "file-1" };

const MODULES = ["q_proj", "k_proj", "down_proj"].map((name) => ({
  name: `model.layers.0.self_attn.${name}`,
  out: 16,
  in: 8,
}));
const loraOf = (lora: unknown) => parseJobRequest({ ...MINIMAL, lora }).spec;

Deno.test("target modules match by their last names, as in PEFT", () => {
  const names = (lora: unknown, modules = MODULES) =>
    checkSpecAgainstModel(loraOf(lora), { modules }).map(({ name }) => name);
  assertEquals(names({ r: 8, target_modules: ["q_proj"] }), ["model.layers.0.self_attn.q_proj"]);
  assertEquals(names({ r: 8, target_modules: ["self_attn.k_proj"] }), ["model.layers.0.self_attn.k_proj"]);
  assertEquals(names({ r: 8, target_modules: [MODULES[2]!.name] }), [MODULES[2]!.name]);
  const withHead = [...MODULES, { name: "lm_head", out: 64, in: 8 }];
  assertEquals(names({ r: 8, target_modules: "all-linear" }, withHead), MODULES.map(({ name }) => name));
});

Deno.test("a target that is only the end of a name matches nothing, and the known names are listed", () => {
  for (const target_modules of [["proj"], ["q_proj", "vproj"]]) {
    const error = assertThrows(
      () => checkSpecAgainstModel(loraOf({ target_modules }), { modules: MODULES }),
      LoraFleetError,
    );
    assertEquals([error.code, error.param], ["invalid_request", "lora.target_modules"]);
    assertStringIncludes(error.message, '"q_proj", "k_proj", "down_proj"');
  }
});

Deno.test("a rank above the layer's smaller side", () => {
  const error = assertThrows(
    () => checkSpecAgainstModel(loraOf({ r: 9, target_modules: ["q_proj"] }), { modules: MODULES }),
    LoraFleetError,
    "[16, 8]",
  );
  assertEquals(error.param, "lora.r");
});
