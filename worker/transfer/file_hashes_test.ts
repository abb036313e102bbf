import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { createHash } from "node:crypto";
import { LoraFleetError } from "../../shared/errors.ts";
import { createHashCache, folderProblem, hashOf, hasOtherFiles } from "./file_hashes.ts";

const signal = new AbortController().signal;
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const fileOf = (name: string, text: string) => ({ name, size: text.length, sha256: sha256(text) });

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-files-" });
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a file is right by size and hash, and the hash is remembered over restarts", () =>
  inFolder(async (folder) => {
    const path = join(folder, "a.json");
    const cachePath = join(folder, "cache", "hashes.json");
    await Deno.writeTextFile(path, "abc");
    assertEquals(await createHashCache(cachePath).problem(path, fileOf("a.json", "abc"), signal), null);
    // Other bytes, of which size and time say nothing: they are not read again.
    const { mtime, atime } = await Deno.stat(path);
    await Deno.writeTextFile(path, "xyz");
    await Deno.utime(path, atime!, mtime!);
    assertEquals(await createHashCache(cachePath).problem(path, fileOf("a.json", "abc"), signal), null);
    await Deno.utime(path, atime!, new Date(mtime!.getTime() + 5000));
    assertMatch(
      (await createHashCache(cachePath).problem(path, fileOf("a.json", "abc"), signal))!,
      /"a.json" has the SHA-256/,
    );
  }));

Deno.test("the first file that is not right is named", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "a"), "abc");
    await Deno.writeTextFile(join(folder, "b"), "abcd");
    const hashes = createHashCache(join(folder, "hashes.json"));
    const problem = (...files: Parameters<typeof folderProblem>[2]) =>
      folderProblem(hashes, folder, files, signal);
    assertEquals(await problem(fileOf("a", "abc"), fileOf("b", "abcd")), null);
    assertEquals(await problem(fileOf("a", "abc"), fileOf("c", "")), `"c" is missing`);
    assertEquals(await problem(fileOf("b", "abc")), `"b" has 4 bytes, the base model's has 3`);
    assertEquals(
      await hasOtherFiles(folder, [fileOf("a", ""), fileOf("b", ""), fileOf("hashes.json", "")]),
      false,
    );
    assertEquals(await hasOtherFiles(folder, [fileOf("a", "")]), true);
  }));

Deno.test("a cache of hashes that is damaged costs time and nothing else", () =>
  inFolder(async (folder) => {
    const cachePath = join(folder, "hashes.json");
    await Deno.writeTextFile(cachePath, "{");
    await Deno.writeTextFile(join(folder, "a"), "abc");
    assertEquals(
      await createHashCache(cachePath).problem(join(folder, "a"), fileOf("a", "abc"), signal),
      null,
    );
  }));

Deno.test("what cannot be read is named; who is called off reads no further", () =>
  inFolder(async (folder) => {
    const error = await assertRejects(() => hashOf(folder, signal), LoraFleetError, "cannot read");
    assertEquals(error.code, "storage");
    await Deno.writeTextFile(join(folder, "a"), "abc");
    const aborted = AbortSignal.abort(new LoraFleetError("aborted", "called off"));
    await assertRejects(() => hashOf(join(folder, "a"), aborted), LoraFleetError, "called off");
  }));
