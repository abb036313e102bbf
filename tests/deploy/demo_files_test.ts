/** The demo's base model and rows, by the readers that a job has for them. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { readTransformerSpec } from "../../coordinator/base_models/model_check.ts";
import { loadTokenizer } from "../../shared/data/tokenizer/tokenizer.ts";
import { readSafetensorsHeader } from "../../shared/model/safetensors_file.ts";
import { root } from "../documents/named_tests.ts";

const assets = join(root, "deploy/demo/assets");

Deno.test("config.json, the tokenizer's files and model.safetensors are read as a job reads them", async () => {
  const base = join(assets, "base");
  const { vocabSize } = await readTransformerSpec(base);
  const tokenizer = await loadTokenizer(base);
  const ids = tokenizer.encode("Swap the ends");
  assert(ids.length > 0 && ids.every((id) => id < vocabSize), ids.join());
  const { tensors } = await readSafetensorsHeader(join(base, "model.safetensors"));
  assert(tensors.size > 10);
  const folder = await Deno.makeTempDir();
  for (const name of ["config.json", "model.safetensors"]) {
    const bytes = await Deno.readFile(join(base, name));
    await Deno.writeFile(join(folder, name), bytes.slice(0, bytes.length / 2));
  }
  await assertRejects(() => readTransformerSpec(folder));
  await assertRejects(() => readSafetensorsHeader(join(folder, "model.safetensors")));
  await Deno.remove(folder, { recursive: true });
});

Deno.test("each of the demo's rows has a prompt and a completion", async () => {
  for (const name of ["train.jsonl", "held_out.jsonl"]) {
    const lines = (await Deno.readTextFile(join(assets, name))).trimEnd().split("\n");
    assert(lines.length > 10);
    for (const line of lines) assertEquals(Object.keys(JSON.parse(line)), ["prompt", "completion"]);
  }
});

Deno.test("what the demo's scripts need of Python is named with versions", async () => {
  const lines = (await Deno.readTextFile(join(root, "deploy/demo/requirements.txt"))).trimEnd().split("\n");
  const named = lines.filter((line) => !line.startsWith("#"));
  assertEquals(named.filter((line) => !/^[a-z][a-z0-9-]*==\d+(\.\d+)+$/.test(line)), []);
});
