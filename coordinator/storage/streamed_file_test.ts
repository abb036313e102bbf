import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { removeUnfinishedFiles, writeStreamedFile } from "./streamed_file.ts";

const ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

async function* chunks(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield await Promise.resolve(new TextEncoder().encode(text));
}

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function names(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map((entry) => entry.name).sort();
}

Deno.test("a stream is written whole, with its size and SHA-256", () =>
  inFolder(async (folder) => {
    const written = await writeStreamedFile(`${folder}/new/abc`, chunks("a", "", "bc"), {
      maxBytes: 3,
      expectedSha256: ABC_SHA256,
    });
    assertEquals(written, { size: 3, sha256: ABC_SHA256 });
    assertEquals(await Deno.readTextFile(`${folder}/new/abc`), "abc");
    assertEquals(await names(`${folder}/new`), ["abc"]);
  }));

Deno.test("on any failure the earlier content stays and no partial file is left", () =>
  inFolder(async (folder) => {
    const path = `${folder}/abc`;
    await Deno.writeTextFile(path, "old");
    const tooLarge = await assertRejects(
      () => writeStreamedFile(path, chunks("ab", "cd"), { maxBytes: 3 }),
      LoraFleetError,
      "larger than 3 bytes",
    );
    assertEquals(tooLarge.code, "invalid_request");
    const corrupt = await assertRejects(
      () => writeStreamedFile(path, chunks("abd"), { maxBytes: 9, expectedSha256: ABC_SHA256 }),
      LoraFleetError,
      ABC_SHA256,
    );
    assertEquals(corrupt.code, "corrupt");
    await assertRejects(
      () =>
        writeStreamedFile(
          path,
          (async function* () {
            yield* chunks("a");
            throw new TypeError("connection lost");
          })(),
          { maxBytes: 9 },
        ),
      TypeError,
      "connection lost",
    );
    assertEquals(await Deno.readTextFile(path), "old");
    assertEquals(await names(folder), ["abc"]);
  }));

Deno.test("a full disk is a storage error that names the file", () =>
  inFolder(async (folder) => {
    const error = await assertRejects(
      () =>
        writeStreamedFile(`${folder}/abc`, chunks("abc"), {
          maxBytes: 9,
          open: () => Deno.open("/dev/full", { write: true }),
        }),
      LoraFleetError,
      `${folder}/abc`,
    );
    assertEquals(error.code, "storage");
    assertEquals(await names(folder), []);
  }));

Deno.test("a folder that cannot be created is a storage error", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/file`, "");
    const error = await assertRejects(
      () => writeStreamedFile(`${folder}/file/abc`, chunks("abc"), { maxBytes: 9 }),
      LoraFleetError,
    );
    assertEquals(error.code, "storage");
  }));

Deno.test("unfinished files of an earlier process are removed, others stay", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/a/b`, { recursive: true });
    await Deno.writeTextFile(`${folder}/a/b/x.123.part`, "");
    await Deno.writeTextFile(`${folder}/a/b/x`, "");
    await removeUnfinishedFiles(folder);
    await removeUnfinishedFiles(`${folder}/missing`);
    assertEquals(await names(`${folder}/a/b`), ["x"]);
  }));
