import { systemClock } from "../../shared/clock.ts";
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { createHash } from "node:crypto";
import { LoraFleetError } from "../../shared/errors.ts";
import { createArtifactStore } from "./artifact_store.ts";
import type { ArtifactStore } from "./artifact_store.ts";
import { DamagedFileError } from "./verified_file.ts";

const CONFIG = "adapter_config.json";
const WEIGHTS = "adapter_model.safetensors";
const STATE = "training_state.safetensors";
const NO_TRUTH = { digest: "", layout: null };

const shaOf = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex");
const streamOf = (data: string | Uint8Array) =>
  ReadableStream.from([typeof data === "string" ? new TextEncoder().encode(data) : data]);

async function withStore(body: (store: ArtifactStore, folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(createArtifactStore(folder, systemClock), folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const putAs =
  (store: ArtifactStore, writer: string, step: number) => (name: string, data: string | Uint8Array) =>
    store.put("j", { step, writer, name, sha256: shaOf(data), maxBytes: 10_000 }, streamOf(data));

/** Both files of a step's adapter. */
async function storeStep(store: ArtifactStore, step: number, text = "abc", writer = "w-a") {
  const put = putAs(store, writer, step);
  const files = [await put(CONFIG, "{}"), await put(WEIGHTS, text)];
  return await store.accept("j", step, writer, files, NO_TRUTH);
}

async function codeOf(body: () => Promise<unknown>): Promise<string> {
  return (await assertRejects(body, LoraFleetError)).code;
}

async function leftovers(folder: string): Promise<string[]> {
  const names: string[] = [];
  const read = async (path: string) => {
    for await (const { name, isDirectory } of Deno.readDir(path)) {
      if (isDirectory) await read(`${path}/${name}`);
      else names.push(name);
    }
  };
  await read(folder);
  return names.sort();
}

Deno.test("accepted files are listed and survive a restart; files that merely arrived do not count", () =>
  withStore(async (store, folder) => {
    const put = putAs(store, "w-a", 7);
    const files = [await put(CONFIG, "{}"), await put(WEIGHTS, "abc")];
    assertEquals([await store.files("j", 7), await store.steps("j")], [[], []]);
    assertEquals(await store.accept("j", 7, "w-a", files, NO_TRUTH), { files });
    const restarted = createArtifactStore(folder, systemClock);
    assertEquals([await restarted.files("j", 7), await restarted.steps("j")], [files, [7]]);
    assertEquals(await Deno.readTextFile(await restarted.path("j", 7, files[1]!)), "abc");
    assertEquals([await restarted.files("j", 8), await restarted.steps("other")], [[], []]);
    await restarted.clear("j");
    await restarted.clear("j");
    assertEquals(await restarted.steps("j"), []);
  }));

Deno.test("files of a writer that died before its report do not block the next writer", () =>
  withStore(async (store, folder) => {
    await putAs(store, "w-a", 1)(WEIGHTS, "another's bytes");
    assertEquals(await storeStep(store, 1, "abc", "w-b"), { files: await store.files("j", 1) });
    // Nor does what was accepted and never recorded.
    await storeStep(store, 1, "newer", "w-c");
    assertEquals((await store.files("j", 1))[1]!.sha256, shaOf("newer"));
    assertEquals(await leftovers(folder), [CONFIG, `${CONFIG}.sha256`, WEIGHTS, `${WEIGHTS}.sha256`]);
  }));

Deno.test("an upload removes those of other writers and other steps", () =>
  withStore(async (store, folder) => {
    for (let step = 1; step <= 20; step++) {
      await putAs(store, `w-${step % 3}`, step)(CONFIG, "x".repeat(step));
    }
    assertEquals(await leftovers(folder), [CONFIG, `${CONFIG}.sha256`]);
    await store.dropStates("j", null);
    assertEquals(await leftovers(folder), []);
  }));

Deno.test("a repeated upload is accepted; a different one replaces it", () =>
  withStore(async (store) => {
    const put = putAs(store, "w-a", 1);
    assertEquals(await put(CONFIG, "abc"), await put(CONFIG, "abc"));
    assertEquals((await put(CONFIG, "abcd")).size, 4);
  }));

Deno.test("a stalled upload ends when its writer starts over", () =>
  withStore(async (store) => {
    const upload = { step: 1, writer: "w-a", name: CONFIG, sha256: shaOf("abc"), maxBytes: 10 };
    const still = new ReadableStream<Uint8Array>({
      start: (to) => to.enqueue(new TextEncoder().encode("a")),
    });
    const first = codeOf(() => store.put("j", upload, still));
    assertEquals((await store.put("j", upload, streamOf("abc"))).size, 3);
    assertEquals(await first, "conflict");
  }));

Deno.test("a corrupt or too large upload leaves nothing", () =>
  withStore(async (store, folder) => {
    const upload = { step: 1, writer: "w-a", name: WEIGHTS, sha256: shaOf("abc"), maxBytes: 10 };
    assertEquals(await codeOf(() => store.put("j", upload, streamOf("abd"))), "corrupt");
    assertEquals(await codeOf(() => store.put("j", upload, streamOf("12345678901"))), "invalid_request");
    assertEquals(await leftovers(folder), []);
  }));

Deno.test("malformed names, steps, workers and ids are refused", () =>
  withStore(async (store) => {
    const good = { step: 1, writer: "w-a", name: CONFIG, sha256: shaOf("abc"), maxBytes: 10 };
    for (
      const [jobId, change] of [
        ["j", { name: "../evil" }],
        ["j", { name: `${CONFIG}.sha256` }],
        ["../j", {}],
        ["j", { step: 0 }],
        ["j", { step: 1.5 }],
        ["j", { writer: "../w" }],
        ["j", { sha256: shaOf("abc").toUpperCase() }],
      ] as const
    ) {
      const put = () => store.put(jobId, { ...good, ...change }, streamOf("abc"));
      assertEquals(await codeOf(async () => await put()), "invalid_request", JSON.stringify(change));
    }
  }));

Deno.test("a report is not accepted while a file of it has not arrived, or is missing from it", () =>
  withStore(async (store) => {
    const config = await putAs(store, "w-a", 1)(CONFIG, "{}");
    const absent = { name: WEIGHTS, size: 3, sha256: shaOf("abc") };
    for (const files of [[config], [config, absent], [absent]]) {
      const { fault } = await store.accept("j", 1, "w-a", files, NO_TRUTH) as { fault: string };
      assertMatch(fault, /^adapter_model\.safetensors has not arrived at the coordinator$/);
    }
    await putAs(store, "w-a", 1)(WEIGHTS, "abc");
    assert(
      "fault" in await store.accept("j", 1, "w-b", [config, absent], NO_TRUTH),
      "another writer's files",
    );
    assert("files" in await store.accept("j", 1, "w-a", [config, absent], NO_TRUTH));
  }));

Deno.test("a file with one flipped byte is refused with the reason and set aside", () =>
  withStore(async (store, folder) => {
    await storeStep(store, 3, "abcdef");
    const file = (await store.files("j", 3))[1]!;
    const path = await store.path("j", 3, file);
    await Deno.writeTextFile(path, "abcdeg");
    for (let time = 0; time < 2; time++) {
      const { code, message } = await assertRejects(() => store.path("j", 3, file), LoraFleetError);
      assertEquals(code, "corrupt");
      assertMatch(message, /"adapter_model\.safetensors" of step 3 of job "j" is damaged/);
      assert(!message.includes(folder), "a path of the server");
    }
    assertEquals(await Deno.readTextFile(`${path}.damaged`), "abcdeg");
    await storeStep(store, 3, "abcdef");
    assertEquals(await store.path("j", 3, file), path);
    await Deno.remove(path);
    await Deno.remove(`${path}.damaged`);
    assertEquals(await codeOf(() => store.path("j", 3, file)), "not_found");
  }));

Deno.test("training states are no artifacts, only the newest is kept, and damaged ones do not count", () =>
  withStore(async (store, folder) => {
    for (const step of [2, 4]) {
      const put = putAs(store, "w-a", step);
      const files = [await put(CONFIG, "{}"), await put(WEIGHTS, "abc"), await put(STATE, stateBytes("st"))];
      const truth = { digest: shaOf("st"), layout: null };
      assert("files" in await store.accept("j", step, "w-a", files, truth));
    }
    assertEquals((await store.files("j", 4)).map(({ name }) => name), [CONFIG, WEIGHTS]);
    await store.dropStates("j", 4, 1);
    assertEquals([(await store.state("j", 2))?.size, (await store.state("j", 4))?.size], [12, 12]);
    await store.dropStates("j", 4);
    assertEquals([await store.state("j", 2), (await store.state("j", 4))?.size], [null, 12]);
    await Deno.writeFile(`${folder}/j/4/${STATE}`, stateBytes("sx"));
    const error = await assertRejects(() => store.state("j", 4), DamagedFileError);
    assertStringIncludes(error.message, "the training state of step 4 is damaged");
    assertEquals(await store.state("j", 4), null);
    await store.dropStates("j", null);
    assertEquals([await store.state("j", 4), await store.steps("j")], [null, [2, 4]]);
  }));

Deno.test("after a job's end its newest training state is left, and no upload", () =>
  withStore(async (store, folder) => {
    await store.finish("none");
    for (const step of [2, 10]) {
      const put = putAs(store, "w-a", step);
      const files = [await put(CONFIG, "{}"), await put(WEIGHTS, "abc"), await put(STATE, stateBytes("st"))];
      assert("files" in await store.accept("j", step, "w-a", files, { digest: shaOf("st"), layout: null }));
    }
    await storeStep(store, 11);
    await putAs(store, "w-a", 12)(STATE, stateBytes("st"));
    await store.finish("j");
    assertEquals([await store.state("j", 2), (await store.state("j", 10))?.size], [null, 12]);
    assertEquals(await store.steps("j"), [2, 10, 11]);
    assertEquals((await leftovers(folder)).filter((name) => name === STATE).length, 1);
  }));

/** A header of two bytes, then the data. */
function stateBytes(data: string): Uint8Array {
  const bytes = new TextEncoder().encode(`........{}${data}`);
  new DataView(bytes.buffer).setBigUint64(0, 2n, true);
  return bytes;
}
