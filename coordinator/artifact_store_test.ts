import { assertEquals, assertRejects } from "@std/assert";
import { createHash } from "node:crypto";
import { LoraFleetError } from "../shared/errors.ts";
import { createArtifactStore } from "./artifact_store.ts";
import type { ArtifactStore } from "./artifact_store.ts";

const ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

function bytes(text: string): ReadableStream<Uint8Array> {
  return ReadableStream.from([new TextEncoder().encode(text)]);
}

async function withStore(body: (store: ArtifactStore, folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(createArtifactStore(folder, 10), folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function codeOf(body: () => Promise<unknown>): Promise<string> {
  return (await assertRejects(body, LoraFleetError)).code;
}

Deno.test("a stored file is listed, found and there after a restart", () =>
  withStore(async (store, folder) => {
    const file = await store.put("ftjob-1", 7, "adapter_config.json", bytes("abc"), ABC_SHA256);
    assertEquals(file, { name: "adapter_config.json", size: 3, sha256: ABC_SHA256 });
    await store.put("ftjob-1", 12, "adapter_model.safetensors", bytes(""), EMPTY_SHA256);
    const restarted = createArtifactStore(folder);
    assertEquals(await restarted.files("ftjob-1", 7), [file]);
    assertEquals(await restarted.files("ftjob-1", 8), []);
    assertEquals(await restarted.steps("ftjob-1"), [7, 12]);
    assertEquals(await restarted.steps("ftjob-2"), []);
    assertEquals(await Deno.readTextFile(await restarted.path("ftjob-1", 7, "adapter_config.json")), "abc");
    await restarted.clear("ftjob-1");
    await restarted.clear("ftjob-1");
    assertEquals(await restarted.steps("ftjob-1"), []);
  }));

Deno.test("the same upload again is accepted, another one under its name is not", () =>
  withStore(async (store) => {
    const first = await store.put("j", 1, "adapter_config.json", bytes("abc"), ABC_SHA256);
    assertEquals(await store.put("j", 1, "adapter_config.json", bytes("abc"), ABC_SHA256), first);
    assertEquals(
      await codeOf(() => store.put("j", 1, "adapter_config.json", bytes(""), EMPTY_SHA256)),
      "conflict",
    );
  }));

Deno.test("a corrupt or too large upload leaves nothing", () =>
  withStore(async (store) => {
    const name = "adapter_model.safetensors";
    assertEquals(await codeOf(() => store.put("j", 1, name, bytes("abd"), ABC_SHA256)), "corrupt");
    assertEquals(
      await codeOf(() => store.put("j", 1, name, bytes("12345678901"), ABC_SHA256)),
      "invalid_request",
    );
    assertEquals(await store.files("j", 1), []);
    assertEquals(await codeOf(() => store.path("j", 1, name)), "not_found");
  }));

Deno.test("names, steps and ids that are not ours are refused", () =>
  withStore(async (store) => {
    const name = "adapter_config.json";
    for (
      const attempt of [
        () => store.put("j", 1, "../evil", bytes("abc"), ABC_SHA256),
        () => store.put("j", 1, `${name}.sha256`, bytes("abc"), ABC_SHA256),
        () => store.put("../j", 1, name, bytes("abc"), ABC_SHA256),
        () => store.put("j", 0, name, bytes("abc"), ABC_SHA256),
        () => store.put("j", 1.5, name, bytes("abc"), ABC_SHA256),
        () => store.put("j", 1, name, bytes("abc"), ABC_SHA256.toUpperCase()),
      ]
    ) assertEquals(await codeOf(attempt), "invalid_request");
  }));

Deno.test("training states are kept apart from what a user gets, and all but the newest are dropped", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const store = createArtifactStore(folder);
    const bytes = new TextEncoder().encode("state");
    const put = (step: number, name: string) =>
      store.put(
        "ftjob-1",
        step,
        name,
        ReadableStream.from([bytes]),
        createHash("sha256").update(bytes).digest("hex"),
      );
    for (const step of [2, 4]) {
      await put(step, "adapter_config.json");
      await put(step, "training_state.safetensors");
    }
    assertEquals((await store.files("ftjob-1", 4)).map(({ name }) => name), ["adapter_config.json"]);
    assertEquals((await store.state("ftjob-1", 2))?.size, 5);
    await store.dropStates("ftjob-1", 4);
    assertEquals([await store.state("ftjob-1", 2), (await store.state("ftjob-1", 4))?.size], [null, 5]);
    await store.dropStates("ftjob-1", null);
    assertEquals([await store.state("ftjob-1", 4), await store.steps("ftjob-1")], [null, [2, 4]]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
