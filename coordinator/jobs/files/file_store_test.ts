import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { systemClock } from "../../../shared/clock.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { createArtifactStore } from "../../storage/artifact_store.ts";
import { createFileStore } from "./file_store.ts";
import type { FileStore } from "./file_store.ts";
import { randomId } from "../../storage/ids.ts";
import type { JobStore } from "../stores/job_store.ts";
import { jobFixture } from "../record/job_fixture.ts";
import { openSqliteJobStore } from "../stores/sqlite_job_store.ts";
import { FileTooLargeError } from "../../storage/streamed_file.ts";

const ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

function bytes(text: string): ReadableStream<Uint8Array> {
  return ReadableStream.from([new TextEncoder().encode(text)]);
}

async function withFiles(
  body: (files: FileStore, world: { folder: string; store: JobStore }) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const store = openSqliteJobStore(":memory:");
  const artifacts = createArtifactStore(`${folder}/artifacts`, systemClock);
  const options = { store, artifacts, clock: systemClock, newId: randomId, maxUploadBytes: 10 };
  const files = createFileStore({ ...options, folder: `${folder}/files` });
  try {
    const upload = { step: 3, writer: "w-a", sha256: ABC_SHA256, maxBytes: 3 };
    const stored = await Promise.all(
      ["adapter_config.json", "adapter_model.safetensors"].map((name) =>
        artifacts.put("ftjob-1", { ...upload, name }, bytes("abc"))
      ),
    );
    await artifacts.accept("ftjob-1", 3, "w-a", stored, { digest: "", layout: null });
    await body(files, { folder: `${folder}/files`, store });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("an upload is kept under its id until it is deleted", () =>
  withFiles(async (files, { folder }) => {
    const received = await files.receive(bytes("abc"));
    assertThrows(() => files.get(received.id), LoraFleetError, received.id);
    const file = files.keep(received, "zug ä.jsonl", "fine-tune");
    assertEquals(files.get(file.id), file);
    assertEquals([file.size, file.sha256, file.filename], [3, ABC_SHA256, "zug ä.jsonl"]);
    assertEquals(await Deno.readTextFile(await files.path(file)), "abc");
    await files.delete(file.id);
    assertEquals(await Array.fromAsync(Deno.readDir(folder)), []);
    assertEquals((await assertRejects(() => files.delete(file.id), LoraFleetError)).code, "not_found");
  }));

Deno.test("a file that is too large, or has a bad name or purpose, is not kept", () =>
  withFiles(async (files, { folder }) => {
    await assertRejects(() => files.receive(bytes("12345678901")), FileTooLargeError, "10 bytes");
    const received = await files.receive(bytes("abc"));
    for (
      const [name, purpose] of [["a", "batch"], ["", "fine-tune"], ["a/b", "fine-tune"], ["a\n", "fine-tune"]]
    ) {
      assertEquals(
        assertThrows(() => files.keep(received, name!, purpose!), LoraFleetError).code,
        "invalid_request",
      );
    }
    await files.discard(received);
    assertEquals(await Array.fromAsync(Deno.readDir(folder)), []);
  }));

Deno.test("a result is a file of its job and cannot be deleted", () =>
  withFiles(async (files) => {
    const file = files.addResult("ftjob-1", 3, { name: "adapter_config.json", size: 3, sha256: ABC_SHA256 });
    assertEquals(file.purpose, "fine-tune-results");
    assertEquals(await Deno.readTextFile(await files.path(files.get(file.id))), "abc");
    const error = await assertRejects(() => files.delete(file.id), LoraFleetError, "ftjob-1");
    assertEquals(error.code, "conflict");
  }));

Deno.test("the training file of an unfinished job cannot be deleted", () =>
  withFiles(async (files, { store }) => {
    const file = files.keep(await files.receive(bytes("abc")), "a", "fine-tune");
    const job = jobFixture("ftjob-2");
    store.putJob({ ...job, spec: { ...job.spec, training_file: file.id } }, []);
    assertEquals(
      (await assertRejects(() => files.delete(file.id), LoraFleetError, "validating_files")).code,
      "conflict",
    );
    store.putJob({ ...job, status: "cancelled", spec: { ...job.spec, training_file: file.id } }, []);
    await files.delete(file.id);
  }));

Deno.test("bytes whose record is of a newer release, and cannot be read, stay", () =>
  withFiles(async (files, { folder, store }) => {
    const kept = files.keep(await files.receive(bytes("abc")), "a", "fine-tune");
    store.putFile({ ...kept, fieldOfTomorrow: 1 } as typeof kept);
    await files.sweep();
    assertEquals(store.file(kept.id), null);
    assertEquals(await Deno.readTextFile(`${folder}/${kept.id}`), "abc");
  }));

Deno.test("bytes without a record are removed", () =>
  withFiles(async (files, { folder }) => {
    await files.receive(bytes("lost"));
    const kept = files.keep(await files.receive(bytes("abc")), "a", "fine-tune");
    await Deno.writeTextFile(`${folder}/file-x.1.part`, "");
    await files.sweep();
    assertEquals((await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name), [kept.id]);
  }));
