import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { LoraFleetError } from "../../shared/errors.ts";
import { parseJobRequest } from "../job_request/parse.ts";
import { readSafetensorsHeader } from "../../shared/model/safetensors_file.ts";
import { checkModelForJob } from "./model_check.ts";

const GOLDEN = fromFileUrl(new URL("../../tests/golden/ladder", import.meta.url));
const EMBEDDINGS = "model.embed_tokens.weight";

interface Tensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

async function readTensors(path: string): Promise<Tensor[]> {
  const { tensors, dataStart } = await readSafetensorsHeader(path);
  const bytes = await Deno.readFile(path);
  return [...tensors.values()].map(({ name, dtype, shape, start, end }) => (
    { name, dtype, shape, bytes: bytes.subarray(dataStart + start, dataStart + end) }
  ));
}

async function writeTensors(path: string, tensors: readonly Tensor[]): Promise<void> {
  let at = 0;
  const entries = tensors.map(({ name, dtype, shape, bytes }) => {
    return [name, { dtype, shape, data_offsets: [at, at += bytes.length] }];
  });
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
  const parts: Uint8Array<ArrayBuffer>[] = [
    length,
    header,
    ...tensors.map(({ bytes }) => Uint8Array.from(bytes)),
  ];
  await Deno.writeFile(path, new Uint8Array(await new Blob(parts).arrayBuffer()));
}

/** A copy of a golden base model that the test may change. */
async function withModel(name: string, body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  for await (const { name: file } of Deno.readDir(`${GOLDEN}/${name}`)) {
    await Deno.copyFile(`${GOLDEN}/${name}/${file}`, `${folder}/${file}`);
  }
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const specOf = (fields: object = {}) =>
  parseJobRequest({ model: "base", training_file: "file-1", dataset: { max_seq_length: 64 }, ...fields })
    .spec;

async function edit(folder: string, changes: object): Promise<void> {
  const path = `${folder}/config.json`;
  await Deno.writeTextFile(
    path,
    JSON.stringify({ ...JSON.parse(await Deno.readTextFile(path)), ...changes }),
  );
}

Deno.test("a tied model with a different stored output layer gets a warning that names both; one with equal values does not", () =>
  withModel("gqa_tied/model", async (folder) => {
    const path = `${folder}/model.safetensors`;
    const tensors = await readTensors(path);
    const embeddings = tensors.find(({ name }) => name === EMBEDDINGS)!;
    const head = { ...embeddings, name: "lm_head.weight" };
    await writeTensors(path, [...tensors, head]);
    assertEquals((await checkModelForJob(specOf(), folder)).warnings, []);
    const other = embeddings.bytes.slice();
    other[other.length - 1]! ^= 0x80;
    await writeTensors(path, [...tensors, { ...head, bytes: other }]);
    const [warning, ...others] = (await checkModelForJob(specOf(), folder)).warnings;
    assertEquals(others, []);
    for (const part of ["tie_word_embeddings", "lm_head.weight", "not tied"]) {
      assertStringIncludes(warning!, part);
    }
    // Under the output layer's name alone, it serves both.
    await writeTensors(path, [...tensors.filter((tensor) => tensor !== embeddings), head]);
    assertEquals((await checkModelForJob(specOf(), folder)).warnings, []);
  }));

Deno.test("an output layer with the same values in a different dtype counts as tied", () =>
  withModel("gqa_tied/model", async (folder) => {
    const path = `${folder}/model.safetensors`;
    const tensors = await readTensors(path);
    const { shape, bytes } = tensors.find(({ name }) => name === EMBEDDINGS)!;
    const doubles = Float64Array.from(new Float32Array(bytes.slice().buffer));
    const head = { name: "lm_head.weight", dtype: "F64", shape, bytes: new Uint8Array(doubles.buffer) };
    await writeTensors(path, [...tensors, head]);
    assertEquals((await checkModelForJob(specOf(), folder)).warnings, []);
  }));

Deno.test("a checkpoint in NF4 keeps its own quantisation, with a warning", () =>
  withModel("gqa_tied/model_nf4", async (folder) => {
    const asked = specOf({ quantization: { bnb_4bit_use_double_quant: false } });
    const { spec, warnings } = await checkModelForJob(asked, folder);
    assertEquals(spec.quantization, { ...asked.quantization, bnb_4bit_use_double_quant: true });
    assertStringIncludes(
      warnings[0]!,
      "bnb_4bit_use_double_quant is true, not false: the base model is stored in NF4",
    );
    const same = specOf();
    assertEquals(await checkModelForJob(same, folder), { spec: same, warnings: [] });
  }));

Deno.test("NF4 with an unsupported block size is refused when the job is created", () =>
  withModel("gqa_tied/model_nf4", async (folder) => {
    const path = `${folder}/model.safetensors`;
    const changed = (await readTensors(path)).map((tensor) => {
      if (!tensor.name.endsWith("nf4")) return tensor;
      const text = new TextDecoder().decode(tensor.bytes).replace('"blocksize": 64', '"blocksize": 32');
      return { ...tensor, bytes: new TextEncoder().encode(text) };
    });
    await writeTensors(path, changed);
    const error = await assertRejects(() => checkModelForJob(specOf(), folder), LoraFleetError, "blocksize");
    assertEquals(error.param, "model");
  }));

Deno.test("only file names are read from an index; a tensor in no file is refused", () =>
  withModel("llama3_sharded/model", async (folder) => {
    const path = `${folder}/model.safetensors.index.json`;
    const { weight_map } = JSON.parse(await Deno.readTextFile(path));
    const [shard] = Object.values<string>(weight_map);
    const { "model.norm.weight": _norm, ...others } = weight_map;
    await Deno.writeTextFile(path, JSON.stringify({ weight_map: { ...others, "lm_head.bias": shard } }));
    await checkModelForJob(specOf(), folder);
    const file = `${folder}/${weight_map["model.norm.weight"]}`;
    await writeTensors(file, (await readTensors(file)).filter(({ name }) => name !== "model.norm.weight"));
    const error = await assertRejects(() => checkModelForJob(specOf(), folder), LoraFleetError);
    assertEquals([error.code, error.param], ["invalid_model", "model"]);
    assertStringIncludes(error.message, 'tensor "model.norm.weight" is missing');
  }));

Deno.test("documents that may exceed the model's positions or dynamic RoPE get a warning", () =>
  withModel("gqa_tied/model", async (folder) => {
    const warningFor = async (max_seq_length: number) =>
      (await checkModelForJob(specOf({ dataset: { max_seq_length } }), folder)).warnings[0];
    assertEquals(await warningFor(256), undefined);
    assertStringIncludes((await warningFor(257))!, "max_position_embeddings of 256");
    await edit(folder, { rope_parameters: { rope_type: "dynamic", factor: 2, rope_theta: 1e4 } });
    assertEquals(await warningFor(256), undefined);
    assertStringIncludes((await warningFor(257))!, "dynamic RoPE");
    assertStringIncludes((await warningFor(257))!, "set dataset.max_seq_length to at most 256");
    const rope_parameters = { rope_type: "default", rope_theta: 1e4 };
    await edit(folder, { rope_parameters, model_type: "mistral", sliding_window: 16 });
    assertEquals(await warningFor(256), undefined);
  }));

Deno.test("a rank above a layer's size is allowed, as PEFT allows it", () =>
  withModel("gqa_tied/model", async (folder) => {
    const { spec } = await checkModelForJob(
      specOf({ lora: { r: 500, target_modules: "all-linear" } }),
      folder,
    );
    assert(spec.lora.r === 500);
  }));

Deno.test("Qwen3: the norms of q and k are required and cannot be targets", async () => {
  await withModel("qwen3_tied/model", async (folder) => {
    const targeting = (target_modules: unknown) => specOf({ lora: { target_modules } });
    assertEquals((await checkModelForJob(targeting("all-linear"), folder)).warnings, []);
    await assertRejects(
      () => checkModelForJob(targeting(".*q_(proj|norm)"), folder),
      LoraFleetError,
      "q_norm",
    );
    const path = `${folder}/model.safetensors`;
    const norm = "model.layers.1.self_attn.k_norm.weight";
    await writeTensors(path, (await readTensors(path)).filter(({ name }) => name !== norm));
    await assertRejects(() => checkModelForJob(targeting("all-linear"), folder), LoraFleetError, norm);
  });
});

Deno.test("a base model that sees images is accepted, with a warning that only its language model is trained", () =>
  withModel("gemma3_vision/model", async (folder) => {
    const { warnings } = await checkModelForJob(specOf(), folder);
    assertEquals(warnings.length, 1);
    for (const part of ["Gemma3ForConditionalGeneration", "its language model alone", "vision part"]) {
      assertStringIncludes(warnings[0]!, part);
    }
  }));
