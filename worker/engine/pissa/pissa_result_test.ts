import { assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { openSafetensors } from "../../../shared/checkpoint/safetensors.ts";
import { splitHalves } from "../../../shared/checkpoint/merge/pissa_halves.ts";
import { loraSchema } from "../../../shared/job/job_spec_schema.ts";
import { layoutAdapter } from "../../../shared/model/gradient_layout.ts";
import { adapterModules } from "../../../shared/job/adapter_modules.ts";
import { modelModules } from "../../../shared/model/model_tensors.ts";
import { openCheckpoint } from "../../../shared/checkpoint/checkpoint_reader.ts";
import { flattenTensors, goldenPath, loadLadderCase } from "../../../tests/golden/golden.ts";
import { readAdapter, writeAdapter } from "../../files/adapter_file.ts";
import { pissaResult } from "./pissa_result.ts";

const golden = JSON.parse(Deno.readTextFileSync(goldenPath("losses/pissa/case.json")));
const trained = openSafetensors(goldenPath("losses/pissa/trained.safetensors"));
const { lora, modelFolder } = loadLadderCase("gqa_tied");
const { spec } = await openCheckpoint(modelFolder);
const layout = layoutAdapter(adapterModules(lora, modelModules(spec)));

function flat(part: string): Float32Array {
  const names = layout.tensors.map(({ name }) => name);
  return flattenTensors(layout, new Map(names.map((name) => [name, trained.readFloat32(`${part}.${name}`)])));
}

const hashOf = (data: Float32Array) =>
  createHash("sha256").update(new Uint8Array(data.slice().buffer)).digest("hex");

Deno.test("the result has the bits and the configuration of PEFT's path_initial_model_for_weight_conversion", async () => {
  const pissa = loraSchema.parse({ ...lora, init_lora_weights: "pissa" });
  const result = pissaResult(layout, pissa, flat("final"), flat("start"));
  const hashes = result.tensors.map(({ name, data }) => [name, hashOf(data)] as const);
  assertEquals(Object.fromEntries(hashes.toSorted()), golden.converted);
  const folder = await Deno.makeTempDir();
  try {
    await writeAdapter(folder, { ...result, baseModelName: "golden/gqa_tied" });
    const config = JSON.parse(await Deno.readTextFile(`${folder}/adapter_config.json`));
    assertEquals({ ...config, target_modules: config.target_modules.toSorted() }, golden.adapter_config);
    const read = await readAdapter(folder);
    assertEquals([read.lora.r, read.pissa?.r, read.pissa?.lora_alpha], [8, 4, 8]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  const [a, b] = result.tensors;
  const halves = splitHalves({ a: a!.data, b: b!.data }, 4);
  const expected = (part: string, side: number) =>
    trained.readFloat32(`${part}.${result.tensors[side]!.name}`);
  assertEquals(halves.trained, { a: expected("final", 0), b: expected("final", 1) });
  assertEquals(halves.start, { a: expected("start", 0), b: expected("start", 1) });
});
