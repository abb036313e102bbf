import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { goldenPath, LADDER_CASES, loadLadderCase } from "../../tests/golden/golden.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { loraSchema } from "../../shared/job/job_spec_schema.ts";
import { type Adapter, readAdapter, writeAdapter } from "./adapter_file.ts";
import { formatAdapterConfig } from "./adapter_config_write.ts";
import { diskFileSystem } from "../../shared/checkpoint/atomic_file.ts";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const name = (side: "A" | "B") => `base_model.model.model.layers.0.self_attn.q_proj.lora_${side}.weight`;
const adapter: Adapter = {
  lora: loraSchema.parse({ r: 2, lora_alpha: 4, target_modules: ["q_proj"] }),
  baseModelName: "some/model",
  tensors: [
    { name: name("A"), shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    { name: name("B"), shape: [4, 2], data: new Float32Array(8).fill(0.5) },
  ],
};

for (
  const [folder, lora] of [
    ["tutorial", { r: 64, lora_alpha: 16, lora_dropout: 0.1, target_modules: ["v_proj", "q_proj"] }],
    ["rslora", { r: 8, lora_alpha: 16, use_rslora: true, target_modules: ["down_proj"] }],
    ["gaussian", { r: 2, lora_alpha: 4.5, init_lora_weights: "gaussian", target_modules: ["q_proj"] }],
    ["patterns", {
      ...{ r: 4, lora_alpha: 8, use_rslora: true, target_modules: ["up_proj", "q_proj"] },
      ...{ exclude_modules: ["o_proj", "lm_head"], layers_to_transform: [0, 2], layers_pattern: ["layers"] },
      rank_pattern: { q_proj: 2, "layers\\.2\\.mlp\\.up_proj": 6 },
      alpha_pattern: { up_proj: 3, q_proj: 2.5 },
    }],
  ] as const
) {
  Deno.test(`adapter_config.json is PEFT's own, to the byte but for the order of a set: ${folder}`, async () => {
    const golden = await Deno.readTextFile(goldenPath(`peft_config/${folder}/adapter_config.json`));
    const parsed = loraSchema.parse(lora);
    const ours = formatAdapterConfig(parsed, "golden/Grüße", []);
    const sortSet = (text: string) =>
      text.replace(
        /"(?:target|exclude)_modules": \[([^\]]*)\]/g,
        (_, set: string) => set.match(/"\w+"/g)!.sort().join(),
      );
    assertEquals(sortSet(ours), sortSet(golden));
  });
}

Deno.test("writing and reading round-trips", () =>
  inFolder(async (folder) => {
    await writeAdapter(`${folder}/a/b`, adapter);
    assertEquals(await readAdapter(`${folder}/a/b`), adapter);
    assertEquals([...Deno.readDirSync(`${folder}/a/b`)].length, 2);
  }));

for (const name of LADDER_CASES) {
  Deno.test(`${name}: PEFT's adapter is read together with its configuration`, async () => {
    const golden = loadLadderCase(name);
    const { lora, tensors, baseModelName } = await readAdapter(golden.adapterFolder);
    assertEquals(baseModelName, `golden/${name}`);
    const { target_modules: _, ...rest } = golden.lora;
    assertEquals({ ...rest, target_modules: lora.target_modules }, lora);
    assertEquals(new Map(tensors.map(({ name, data }) => [name, data])), golden.finalAdapter);
  });
}

const TENSORS: [what: string, tensors: Adapter["tensors"], words: string][] = [
  ["no tensors", [], "has no tensors"],
  ["a tensor without its partner", adapter.tensors.slice(1), "has no partner"],
  ["a rank that does not fit", [{ ...adapter.tensors[0]!, shape: [3, 2] }, adapter.tensors[1]!], "rank 2"],
  [
    "a name that is not PEFT's",
    [{ ...adapter.tensors[0]!, name: "q.lora_A" }, adapter.tensors[1]!],
    '"q.lora_A" is not',
  ],
  [
    "a NaN",
    [{ ...adapter.tensors[0]!, data: Float32Array.of(1, 2, NaN, 4, 5, 6) }, adapter.tensors[1]!],
    "has NaN at element 2",
  ],
];
for (const [what, tensors, words] of TENSORS) {
  Deno.test(`not written: an adapter with ${what}`, () =>
    inFolder(async (folder) => {
      const error = await assertRejects(
        () => writeAdapter(`${folder}/a`, { ...adapter, tensors }),
        LoraFleetError,
        words,
      );
      assertEquals([error.code, [...Deno.readDirSync(folder)]], ["invalid_model", []]);
    }));
}

Deno.test("a full disk leaves neither file, and an older adapter as it was", () =>
  inFolder(async (folder) => {
    await writeAdapter(folder, adapter);
    const full = {
      ...diskFileSystem,
      createBeside: (path: string) =>
        path.endsWith(".json")
          ? Promise.reject(new Error("No space left"))
          : diskFileSystem.createBeside(path),
    };
    const newer = { ...adapter, baseModelName: "newer" };
    const error = await assertRejects(
      () => writeAdapter(folder, newer, full),
      LoraFleetError,
      "No space left",
    );
    assertEquals(error.code, "storage");
    assertEquals(await readAdapter(folder), adapter);
    assertEquals([...Deno.readDirSync(folder)].length, 2);
  }));

const FIELDS: [field: string, value: unknown, words: string][] = [
  ["peft_type", "ADALORA", "peft_type"],
  ["r", 0, "r:"],
  ["bias", "all", "bias"],
  ["task_type", "SEQ_CLS", "task_type"],
  ["target_modules", [], "target_modules"],
  ["use_dora", true, "use_dora is true"],
  ["layer_replication", [[0, 2]], "layer_replication is [[0,2]]"],
  ["fan_in_fan_out", true, "fan_in_fan_out"],
  ["modules_to_save", ["lm_head"], 'modules_to_save is ["lm_head"]'],
  ["lora_bias", true, "lora_bias"],
  ["alora_invocation_tokens", [3, 4], "alora_invocation_tokens"],
  ["use_bdlora", { row: 1 }, "use_bdlora"],
  ["init_lora_weights", "pissa", 'init_lora_weights is "pissa"'],
];
for (const [field, value, words] of FIELDS) {
  Deno.test(`not read: an adapter whose ${field} is ${JSON.stringify(value)}`, () =>
    inFolder(async (folder) => {
      await writeAdapter(folder, adapter);
      const path = `${folder}/adapter_config.json`;
      const config = JSON.parse(await Deno.readTextFile(path));
      await Deno.writeTextFile(path, JSON.stringify({ ...config, [field]: value }));
      const error = await assertRejects(() => readAdapter(folder), LoraFleetError, words);
      assertEquals([error.code, error.param], ["invalid_model", field]);
      assertStringIncludes(error.message, path);
    }));
}

Deno.test("a pattern stays a pattern in adapter_config.json, beside the base model's revision, and is read back", () =>
  inFolder(async (folder) => {
    const target_modules = ".*\\.self_attn\\.(q_proj|v_proj)";
    const lora = { ...adapter.lora, target_modules };
    await writeAdapter(folder, { ...adapter, lora: { ...lora, revision: "v2" } });
    const config = JSON.parse(await Deno.readTextFile(`${folder}/adapter_config.json`));
    assertEquals([config.target_modules, config.revision], [target_modules, "v2"]);
    assertEquals((await readAdapter(folder)).lora, lora);
  }));

Deno.test("ranks of single modules are written, read back and checked", () =>
  inFolder(async (folder) => {
    const lora = loraSchema.parse({
      ...{ r: 9, target_modules: ["q_proj"], exclude_modules: ["o_proj"], layers_to_transform: 0 },
      ...{ rank_pattern: { "layers.0.self_attn.q_proj": 2 }, alpha_pattern: { q_proj: 2.5 } },
    });
    await writeAdapter(folder, { ...adapter, lora });
    assertEquals((await readAdapter(folder)).lora, lora);
    const path = `${folder}/adapter_config.json`;
    const config = JSON.parse(await Deno.readTextFile(path));
    await Deno.writeTextFile(path, JSON.stringify({ ...config, rank_pattern: { q_proj: 3 } }));
    await assertRejects(() => readAdapter(folder), LoraFleetError, "does not fit the rank 3");
    const empty = { rank_pattern: {}, alpha_pattern: {}, exclude_modules: [], layers_to_transform: null };
    await Deno.writeTextFile(path, JSON.stringify({ ...config, ...empty, r: 2 }));
    assertEquals((await readAdapter(folder)).lora, loraSchema.parse({ r: 2, target_modules: ["q_proj"] }));
  }));

Deno.test("an adapter folder without a file, or with a wrong one under its name", () =>
  inFolder(async (folder) => {
    const missing = await assertRejects(() => readAdapter(folder), LoraFleetError, "adapter_config.json");
    assertEquals(missing.code, "model_not_found");
    await writeAdapter(folder, adapter);
    await Deno.writeTextFile(`${folder}/adapter_config.json`, "{");
    await assertRejects(() => readAdapter(folder), LoraFleetError, "JSON");
    await writeAdapter(folder, adapter);
    await Deno.remove(`${folder}/adapter_model.safetensors`);
    const weights = await assertRejects(
      () => readAdapter(folder),
      LoraFleetError,
      "adapter_model.safetensors",
    );
    assertEquals(weights.code, "model_not_found");
  }));

Deno.test("beside a vision part, target_modules are the modules' full names, so that PEFT matches no others", () => {
  const lora = loraSchema.parse({ r: 2, lora_alpha: 4, target_modules: ["q_proj"] });
  const names = [0, 1].map((layer) => `model.language_model.layers.${layer}.self_attn.q_proj`);
  assertEquals(JSON.parse(formatAdapterConfig(lora, "some/model", names)).target_modules, names);
  const plain = ["model.layers.0.self_attn.q_proj"];
  assertEquals(JSON.parse(formatAdapterConfig(lora, "some/model", plain)).target_modules, ["q_proj"]);
});
