import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { createHashCache, sha256Of } from "./hash_cache.ts";

const ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-hashes-" });
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a hash is kept until size or time changes, over a restart and a broken cache", () =>
  inFolder(async (folder) => {
    const [path, cachePath] = [`${folder}/file`, `${folder}/cache/hashes.json`];
    await Deno.writeTextFile(path, "abc");
    const time = new Date(1_700_000_000_000);
    await Deno.utime(path, time, time);
    assertEquals(await createHashCache(cachePath).hash(path), { size: 3, sha256: ABC_SHA256 });
    await Deno.writeTextFile(path, "abd");
    await Deno.utime(path, time, time);
    const restarted = createHashCache(cachePath);
    assertEquals(
      (await restarted.hash(path)).sha256,
      ABC_SHA256,
      "size and time are the same: the cache answers",
    );
    await Deno.utime(path, time, new Date(1_700_000_001_000));
    const changed = await restarted.hash(path);
    assertNotEquals(changed.sha256, ABC_SHA256);
    await Deno.writeTextFile(cachePath, "{broken");
    assertEquals(await createHashCache(cachePath).hash(path), changed);
  }));

Deno.test("a remembered file is not read again", () =>
  inFolder(async (folder) => {
    const hashes = createHashCache(`${folder}/hashes.json`);
    await Deno.writeTextFile(`${folder}/file`, "abc");
    await hashes.remember(`${folder}/file`, "f".repeat(64));
    assertEquals((await hashes.hash(`${folder}/file`)).sha256, "f".repeat(64));
  }));

Deno.test("a cache that cannot be written costs only time", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/file`, "abc");
    assertEquals(
      (await createHashCache(`${folder}/file/hashes.json`).hash(`${folder}/file`)).sha256,
      ABC_SHA256,
    );
  }));

Deno.test("an unreadable file is named; an abort ends the reading", () =>
  inFolder(async (folder) => {
    const hashes = createHashCache(`${folder}/hashes.json`);
    const error = await assertRejects(() => hashes.hash(`${folder}/missing`), LoraFleetError, "missing");
    assertEquals(error.code, "storage");
    await assertRejects(() => sha256Of(folder), LoraFleetError, "cannot read");
    await Deno.writeTextFile(`${folder}/a`, "abc");
    const aborted = AbortSignal.abort(new LoraFleetError("aborted", "called off"));
    await assertRejects(() => sha256Of(`${folder}/a`, aborted), LoraFleetError, "called off");
  }));
