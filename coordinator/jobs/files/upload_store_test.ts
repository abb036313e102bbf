import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { createFakeClock } from "../../../shared/testing/fake_clock.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { createArtifactStore } from "../../storage/artifact_store.ts";
import { randomId } from "../../storage/ids.ts";
import { FileTooLargeError } from "../../storage/streamed_file.ts";
import { openSqliteJobStore } from "../stores/sqlite_job_store.ts";
import { createFileStore } from "./file_store.ts";
import { createUploadStore } from "./upload_store.ts";

const HOUR_MS = 3_600_000;
const WANTED = { filename: "a.txt", purpose: "fine-tune", bytes: 6, fileLifetimeMs: null };
const body = (text: string) => ReadableStream.from([new TextEncoder().encode(text)]);

async function withUploads(test: (world: ReturnType<typeof open>) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const world = open(folder);
  try {
    await test(world);
  } finally {
    world.store.close();
    await Deno.remove(folder, { recursive: true });
  }
}

function open(folder: string) {
  const clock = createFakeClock();
  const store = openSqliteJobStore(":memory:");
  const shared = { clock, newId: randomId, maxUploadBytes: 10 };
  const artifacts = createArtifactStore(`${folder}/artifacts`, clock);
  const files = createFileStore({ ...shared, store, artifacts, folder: `${folder}/files` });
  return {
    folder,
    clock,
    store,
    files,
    uploads: createUploadStore({ ...shared, store, files, folder: `${folder}/uploads` }),
  };
}

Deno.test("parts are joined in the given order, once", () =>
  withUploads(async ({ uploads, files }) => {
    const { id } = uploads.create(WANTED);
    const [last, first] = [await uploads.addPart(id, body("def")), await uploads.addPart(id, body("abc"))];
    const { status, file } = await uploads.complete(
      id,
      [first.id, last.id],
      "E80B5017098950FC58AAD83C8C14978E",
    );
    assertEquals([status, file?.size, file?.filename], ["completed", 6, "a.txt"]);
    assertEquals(await Deno.readTextFile(await files.path(file!)), "abcdef");
    const again = await assertRejects(() => uploads.addPart(id, body("x")), LoraFleetError, "completed");
    assertEquals(again.code, "conflict");
  }));

Deno.test("parts that do not make the announced file are refused, and the upload stays pending", () =>
  withUploads(async ({ uploads }) => {
    const { id } = uploads.create(WANTED);
    const part = await uploads.addPart(id, body("abc"));
    const cases: [string[], string | null, string][] = [
      [[part.id], null, "3 bytes together"],
      [[part.id, part.id], null, "comes twice"],
      [["part-none"], null, "is not a part"],
    ];
    for (const [parts, md5, message] of cases) {
      const error = await assertRejects(() => uploads.complete(id, parts, md5), LoraFleetError, message);
      assertEquals([error.code, error.param], ["invalid_request", "part_ids"]);
    }
    const other = await uploads.addPart(id, body("def"));
    const md5 = "0".repeat(32);
    const corrupt = await assertRejects(
      () => uploads.complete(id, [part.id, other.id], md5),
      LoraFleetError,
    );
    assertEquals([corrupt.code, uploads.get(id).status], ["corrupt", "pending"]);
    await assertRejects(() => uploads.addPart(id, body("1234567")), FileTooLargeError, "the part");
    await uploads.addPart(id, body("123456"));
    await assertRejects(() => uploads.addPart(id, body("x")), LoraFleetError, "more than twice");
    assertEquals((await uploads.cancel(id)).status, "cancelled");
  }));

Deno.test("an upload expires after an hour and is forgotten after two", () =>
  withUploads(async ({ uploads, clock }) => {
    const { id } = uploads.create(WANTED);
    await clock.advance(HOUR_MS);
    assertEquals(uploads.get(id).status, "expired");
    await clock.advance(HOUR_MS + 1);
    uploads.create(WANTED);
    assertEquals(assertThrows(() => uploads.get(id), LoraFleetError).code, "not_found");
  }));

Deno.test("sizes, names and purposes are checked, and only a hundred uploads may be pending", () =>
  withUploads(({ uploads }) => {
    for (const change of [{ bytes: 11 }, { filename: "a/b" }, { purpose: "batch" }]) {
      const error = assertThrows(() => uploads.create({ ...WANTED, ...change }), LoraFleetError);
      assertEquals([error.code, error.param], ["invalid_request", Object.keys(change)[0]]);
    }
    for (let count = 0; count < 100; count++) uploads.create(WANTED);
    assertEquals(assertThrows(() => uploads.create(WANTED), LoraFleetError).code, "conflict");
    return Promise.resolve();
  }));

Deno.test("parts that are no dataset make no file, and the upload can still be completed with the right ones", () =>
  withUploads(async ({ uploads, files, folder }) => {
    const { id } = uploads.create({ ...WANTED, filename: "a.jsonl", bytes: 7 });
    const [cut, whole] = [
      await uploads.addPart(id, body('{"a": 1')),
      await uploads.addPart(id, body('{"a":1}')),
    ];
    const error = await assertRejects(() => uploads.complete(id, [cut.id], null), LoraFleetError, "cut off");
    assertEquals([error.code, error.param, uploads.get(id).status], ["invalid_dataset", "file", "pending"]);
    assertEquals((await Array.fromAsync(Deno.readDir(`${folder}/files`))).length, 0);
    const { file } = await uploads.complete(id, [whole.id], null);
    assertEquals(await Deno.readTextFile(await files.path(file!)), '{"a":1}');
  }));
