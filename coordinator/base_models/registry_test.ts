import { dirname } from "@std/path";
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { createModelRegistry } from "./registry.ts";
import type { ModelRegistry } from "./registry.ts";
import { createHashCache } from "../../shared/model/hash_cache.ts";
import { manifestOf } from "./files.ts";

async function withRoots(
  body: (world: { registry: ModelRegistry; one: string; two: string; outside: string }) => Promise<void>,
): Promise<void> {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  const [one, two, outside] = [`${folder}/one`, `${folder}/two`, `${folder}/outside`];
  for (const root of [one, two, outside]) {
    await Deno.mkdir(`${root}/org/tiny`, { recursive: true });
    await Deno.writeTextFile(`${root}/org/tiny/config.json`, root.slice(folder.length));
    await Deno.writeTextFile(`${root}/org/tiny/model.safetensors`, "weights");
    await Deno.writeTextFile(`${root}/org/tiny/README.md`, "not needed");
  }
  const registry = createModelRegistry({
    roots: [one, two, `${folder}/missing`],
    hub: { endpoint: "http://127.0.0.1:9", token: null, cacheFolder: `${folder}/cache`, offline: true },
    hashes: createHashCache(`${folder}/hashes.json`),
  });
  try {
    await body({ registry, one, two, outside });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function notFound(registry: ModelRegistry, model: string): Promise<string> {
  const error = await assertRejects(() => registry.check(model), LoraFleetError);
  assertEquals([error.code, error.param], ["model_not_found", "model"]);
  assertStringIncludes(error.message, JSON.stringify(model));
  return error.message;
}

Deno.test("a folder below a root is found by its relative or absolute path, the first root first", () =>
  withRoots(async ({ registry, one, two }) => {
    const found = await registry.resolve("org/tiny");
    assertEquals(found.folder, `${one}/org/tiny`);
    assertEquals(found.manifest.files.map(({ name }) => name), ["config.json", "model.safetensors"]);
    assertEquals(found.manifest.hash, manifestOf(found.manifest.files).hash);
    assertEquals((await registry.resolve(`${two}/org/tiny/`)).folder, `${two}/org/tiny`);
    assertEquals(registry.byHash(found.manifest.hash), found);
    assertEquals((await registry.list()).map(({ name }) => name), ["org/tiny"]);
    assertThrows(() => registry.byHash("0".repeat(64)), LoraFleetError, "0000");
  }));

Deno.test("nothing outside of the roots is found under any name", () =>
  withRoots(async ({ registry, one, outside }) => {
    await Deno.symlink(`${outside}/org/tiny`, `${one}/link`);
    assertStringIncludes(await notFound(registry, `${outside}/org/tiny`), "outside of the model roots");
    assertStringIncludes(await notFound(registry, "../outside/org/tiny"), "outside of the model roots");
    // Where the roots lie is not for users of the API, nor what their parents are called.
    assertEquals((await notFound(registry, "../../etc")).includes(dirname(one)), false);
    assertStringIncludes(
      await notFound(registry, "org/../../outside/org/tiny"),
      "outside of the model roots",
    );
    assertStringIncludes(await notFound(registry, "link"), "a link out of the model roots");
    assertStringIncludes(await notFound(registry, `${one}-not`), "outside of the model roots");
  }));

Deno.test("the error for an unknown model lists everything that was tried", () =>
  withRoots(async ({ registry, one, two }) => {
    const message = await notFound(registry, "org/missing");
    assertStringIncludes(message, `${one}/org/missing (no such folder)`);
    assertStringIncludes(message, `${two}/org/missing (no such folder)`);
    assertStringIncludes(message, "http://127.0.0.1:9/org/missing");
    assertStringIncludes(message, "HF_HUB_OFFLINE");
    assertStringIncludes(await notFound(registry, "org"), "no config.json in it");
    assertStringIncludes(await notFound(registry, ""), "org/name@revision");
  }));

Deno.test("a file that is a link out of the roots, or missing weights, make a model invalid", () =>
  withRoots(async ({ registry, one, outside }) => {
    await Deno.symlink(`${outside}/org/tiny/README.md`, `${one}/org/tiny/tokenizer.json`);
    const link = await assertRejects(() => registry.resolve("org/tiny"), LoraFleetError, '"tokenizer.json"');
    assertEquals([link.code, link.param], ["invalid_model", "model"]);
    await Deno.remove(`${one}/org/tiny/tokenizer.json`);
    await Deno.remove(`${one}/org/tiny/model.safetensors`);
    const bare = await assertRejects(() => registry.resolve("org/tiny"), LoraFleetError, "no weights");
    assertEquals(bare.code, "invalid_model");
  }));

Deno.test("different content has a different hash", () =>
  withRoots(async ({ registry, one }) => {
    const before = await registry.resolve("org/tiny");
    await Deno.writeTextFile(`${one}/org/tiny/config.json`, "longer than before");
    const after = await registry.resolve("org/tiny");
    assert(before.manifest.hash !== after.manifest.hash);
  }));
