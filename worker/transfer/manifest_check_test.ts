import { assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { createHash } from "node:crypto";
import { createHashCache } from "../../shared/model/hash_cache.ts";
import { fileProblem, folderProblem, hasOtherFiles } from "./manifest_check.ts";

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

Deno.test("a file with the manifest's size but different bytes is a problem", () =>
  inFolder(async (folder) => {
    const path = join(folder, "a.json");
    const hashes = createHashCache(join(folder, "hashes.json"));
    await Deno.writeTextFile(path, "abc");
    assertEquals(await fileProblem(hashes, path, fileOf("a.json", "abc"), signal), null);
    assertMatch(
      (await fileProblem(hashes, path, fileOf("a.json", "xyz"), signal))!,
      /"a.json" has the SHA-256/,
    );
  }));

Deno.test("the first wrong file is named", () =>
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
