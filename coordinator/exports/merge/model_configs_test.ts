import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { parseTransformerSpec } from "../../../shared/model/parse_transformer_spec.ts";
import { goldenPath, LADDER_CASES, loadLadderCase } from "../../../tests/golden/golden.ts";
import { derivedGenerationConfig, mergedConfig } from "./model_configs.ts";

const GOLDEN = JSON.parse(Deno.readTextFileSync(goldenPath("exports/merge.json")));

for (const name of LADDER_CASES) {
  Deno.test(`${name}: config.json and generation_config.json are those of save_pretrained`, () => {
    const text = Deno.readTextFileSync(`${loadLadderCase(name).modelFolder}/config.json`);
    const spec = parseTransformerSpec(JSON.parse(text));
    const { dtype, texts } = GOLDEN[name];
    assertEquals(mergedConfig(text, dtype, spec), texts["config.json"]);
    assertEquals(derivedGenerationConfig(text), texts["generation_config.json"]);
  });
}

Deno.test("the merged type replaces both spellings, and the quantisation goes", () => {
  const spec = parseTransformerSpec(
    JSON.parse(Deno.readTextFileSync(`${loadLadderCase("gqa_tied").modelFolder}/config.json`)),
  );
  const config = '{"torch_dtype": "float16", "rope_theta": 10000.0, "quantization_config": {"bits": 4}}';
  assertEquals(
    JSON.parse(mergedConfig(config, "bfloat16", { ...spec, tieWordEmbeddings: false })),
    { torch_dtype: "bfloat16", rope_theta: 10000, architectures: ["LlamaForCausalLM"] },
  );
  assertEquals(mergedConfig(config, "bfloat16", spec).includes("10000.0"), true);
  assertThrows(() => mergedConfig("[]", "bfloat16", spec), LoraFleetError, "no JSON object");
});
