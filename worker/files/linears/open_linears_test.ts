import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { openCheckpoint } from "../../../shared/checkpoint/checkpoint_reader.ts";
import type { Nf4Weights } from "../../../shared/checkpoint/nf4/nf4.ts";
import { linearModules } from "../../../shared/model/model_tensors.ts";
import { loadLadderCase } from "../../../tests/golden/golden.ts";
import { type LinearsSpec, openLinears } from "./open_linears.ts";
import { weightsHash } from "./weights_hash.ts";

const { modelFolder } = loadLadderCase("gqa_tied");
const base = await openCheckpoint(modelFolder);
const modules = linearModules(base.spec);

/** All linear layers, what is logged and what is warned of. */
async function load(spec: LinearsSpec, checkpoint = base) {
  using reader = await openLinears(checkpoint, spec);
  const weights: Nf4Weights[] = [];
  for (const { name, outFeatures, inFeatures } of modules) {
    weights.push(await reader.checkpoint.readLinear(name, outFeatures, inFeatures, spec));
  }
  return { weights, text: reader.text, warnings: reader.warnings };
}

async function withCache(
  body: (spec: LinearsSpec & { nf4Cache: { folder: string } }, folder: () => string) => Promise<void>,
) {
  const folder = await Deno.makeTempDir();
  const nf4Cache = { folder, maxBytes: 2 ** 30 };
  try {
    const models = () => `${folder}/${[...Deno.readDirSync(folder)][0]!.name}`;
    await body({ doubleQuantization: true, nf4Cache, weightsHash: "12".repeat(32) }, models);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("the second start reads the cache, and its weights have the bits of the first", async () => {
  await withCache(async (spec) => {
    const plain = await load({ doubleQuantization: true });
    const [first, second] = [await load(spec), await load(spec)];
    assertEquals(first.weights, plain.weights);
    assertEquals(second.weights, plain.weights);
    assertStringIncludes(first.text!, `${modules.length} quantised and kept in`);
    assertStringIncludes(second.text!, `${modules.length} read from`);
    assertEquals([first.warnings, second.warnings], [[], []]);
    const other = await load({ ...spec, weightsHash: "34".repeat(32) });
    assertStringIncludes(other.text!, `${modules.length} quantised`);
    const single = await load({ ...spec, doubleQuantization: false });
    assert(single.weights.every(({ absmax }) => absmax !== null));
  });
});

Deno.test("a damaged file is told, quantised again and repaired", async () => {
  await withCache(async (spec, models) => {
    const { weights } = await load(spec);
    const damaged = [modules[2]!, modules[5]!].map(({ name }) => `${models()}/${name}.weight.nf4`);
    for (const path of damaged) {
      const bytes = await Deno.readFile(path);
      bytes[bytes.length - 9]! ^= 4;
      await Deno.writeFile(path, bytes);
    }
    const again = await load(spec);
    assertEquals(again.weights, weights);
    assertStringIncludes(again.text!, `${modules.length - 2} read from`);
    assertStringIncludes(again.text!, "2 quantised and kept");
    assertEquals(again.warnings.length, 1);
    assertStringIncludes(again.warnings[0]!, damaged[0]!);
    assertStringIncludes(again.warnings[0]!, "1 more");
    assertStringIncludes(again.warnings[0]!, "quantised again");
    assertEquals((await load(spec)).warnings, []);
  });
});

Deno.test("a disk that takes nothing more is told once, and the base model loads", async () => {
  await withCache(async (spec, models) => {
    using reader = await openLinears(base, spec);
    await Deno.remove(models(), { recursive: true });
    for (const { name, outFeatures, inFeatures } of modules) {
      await reader.checkpoint.readLinear(name, outFeatures, inFeatures, spec);
    }
    assertEquals(reader.warnings.length, 1);
    assertStringIncludes(reader.warnings[0]!, "are not kept in");
    assertEquals(reader.text!.includes("kept in"), false);
  });
});

Deno.test("weights that are stored in NF4, and those of no known content, are not cached; a limit that is too low is told", async () => {
  await withCache(async (spec) => {
    const stored = await openCheckpoint(modelFolder.replace(/model$/, "model_nf4"));
    assertEquals((await load(spec, stored)).text, null);
    const { weightsHash: _, ...unknown } = spec;
    assertEquals((await load(unknown)).text!.includes("kept"), false);
    assertEquals([...Deno.readDirSync(spec.nf4Cache.folder)], []);
    const tight = await load({ ...spec, nf4Cache: { ...spec.nf4Cache, maxBytes: 1000 } });
    assertStringIncludes(tight.warnings[0]!, "NF4 cache: not used: the base model takes");
  });
});

Deno.test("the weights' files and their index name the content; a tokenizer does not", () => {
  const file = (name: string, digit: string) => ({ name, size: 1, sha256: digit.repeat(64) });
  const files = [file("config.json", "0"), file("model.safetensors", "1"), file("tokenizer.json", "2")];
  const hash = weightsHash({ files });
  assertEquals(weightsHash({ files: [files[1]!, file("tokenizer.json", "3"), files[0]!] }), hash);
  assert(weightsHash({ files: [file("model.safetensors", "4")] }) !== hash);
  assert(weightsHash({ files: [...files, file("model.safetensors.index.json", "5")] }) !== hash);
  assertEquals(hash.length, 64);
});
