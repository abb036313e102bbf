/** Uploads as the `openai` package makes them: whole, in parts, and with an end. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import OpenAI from "openai";
import type { Clock } from "../../shared/clock.ts";
import { systemClock } from "../../shared/clock.ts";
import { withClient } from "./openai_client_fixture.ts";

/** The system's clock, which a test may put forward. */
function shiftedClock(): Clock & { forwardMs: number } {
  return {
    ...systemClock,
    forwardMs: 0,
    now: function () {
      return systemClock.now() + this.forwardMs;
    },
  };
}

function train(text: string): File {
  return new File([text], "train.txt");
}

Deno.test("files.create(expires_after) is honoured: the file says when it goes, and goes then", async () => {
  const clock = shiftedClock();
  await withClient(
    { clock: { now: () => clock.now(), sleep: clock.sleep } as Clock },
    async (client, world) => {
      const file = await client.files.create({
        file: train("a"),
        purpose: "fine-tune",
        expires_after: { anchor: "created_at", seconds: 86_400 },
      });
      assertEquals(file.expires_at, file.created_at + 86_400);
      assertEquals([file.status, file.status_details ?? null], ["processed", null]);
      const kept = await client.files.create({ file: train("b"), purpose: "fine-tune" });
      assertEquals(kept.expires_at ?? null, null);
      assertEquals((await client.files.retrieve(file.id)).expires_at, file.expires_at);

      clock.forwardMs = 86_399_000;
      assertEquals((await client.files.list()).data.length, 2);
      clock.forwardMs = 86_401_000;
      await assertRejects(() => client.files.retrieve(file.id), OpenAI.NotFoundError);
      assertEquals((await client.files.list({ after: file.id, order: "asc" })).data.map(({ id }) => id), [
        kept.id,
      ]);
      const create = client.fineTuning.jobs.create({ model: "org/tiny", training_file: file.id });
      await assertRejects(async () => await create, OpenAI.BadRequestError);
      const names = async () =>
        (await Array.fromAsync(Deno.readDir(`${world.folder}/files`))).map(({ name }) => name);
      while ((await names()).length > 1) await systemClock.sleep(5);
      assertEquals(await names(), [kept.id]);
    },
  );
});

Deno.test("a file that has expired stays for as long as an unfinished job needs it, and so does a deleted one", async () => {
  const clock = shiftedClock();
  await withClient(
    { clock: { now: () => clock.now(), sleep: clock.sleep } as Clock },
    async (client, world) => {
      const going = Promise.withResolvers<void>();
      world.fleet.beforeStep = () => going.promise;
      const expires_after = { anchor: "created_at", seconds: 3600 } as const;
      const upload = (text: string) =>
        client.files.create({ file: train(text), purpose: "fine-tune", expires_after });
      const [training, validation] = [await upload("a"), await upload("b")];
      const job = await client.fineTuning.jobs.create({
        model: "org/tiny",
        training_file: training.id,
        validation_file: validation.id,
      });
      await world.until(job.id, ({ status }) => status === "running");
      clock.forwardMs = 3_700_000;
      for (const [{ id }, role] of [[training, "training file"], [validation, "validation file"]] as const) {
        assertEquals((await client.files.retrieve(id)).id, id);
        const error = await assertRejects(() => client.files.delete(id), OpenAI.ConflictError);
        assertStringIncludes(error.message, role);
      }
      going.resolve();
      await world.finished(job.id);
      assertEquals((await client.files.list({ purpose: "fine-tune" })).data, []);
    },
  );
});

Deno.test("an expires_after that will not do is a 400 that names it, and nothing is kept", () =>
  withClient({}, async (client, world) => {
    const cases = [
      [{ anchor: "created_at", seconds: "soon" }, "seconds"],
      [{ anchor: "created_at", seconds: 3599 }, "seconds"],
      [{ anchor: "created_at", seconds: 2_592_001 }, "seconds"],
      [{ anchor: "created_at", seconds: 3600.5 }, "seconds"],
      [{ anchor: "created_at", seconds: -3600 }, "seconds"],
      [{ anchor: "created_at" }, "seconds"],
      [{ anchor: "last_active_at", seconds: 3600 }, "anchor"],
      [{ seconds: 3600 }, "anchor"],
    ] as const;
    for (const [expires_after, part] of cases) {
      const error = await assertRejects(
        () =>
          client.files.create({
            ...{ file: train("a"), purpose: "fine-tune" },
            expires_after: expires_after as unknown as OpenAI.Files.FileCreateParams.ExpiresAfter,
          }),
        OpenAI.BadRequestError,
      );
      assertEquals([error.code, error.param], ["invalid_request", `expires_after[${part}]`]);
      assertStringIncludes(error.message, `expires_after[${part}]`);
    }
    for (const seconds of [3600, 2_592_000]) {
      const expires_after = { anchor: "created_at", seconds } as const;
      await client.files.create({ file: train("a"), purpose: "fine-tune", expires_after });
    }
    assertEquals((await Array.fromAsync(Deno.readDir(`${world.folder}/files`))).length, 2);
  }));

Deno.test("uploads: created, sent in parts in any order, put together, trained on", () =>
  withClient({ maxUploadBytes: 100 }, async (client, world) => {
    const create = (bytes: number) =>
      client.uploads.create({
        ...{ bytes, filename: "train.txt", mime_type: "text/jsonl", purpose: "fine-tune" },
        expires_after: { anchor: "created_at", seconds: 7200 },
      });
    const upload = await create(11);
    assertEquals([upload.object, upload.status, upload.bytes], ["upload", "pending", 11]);
    assertEquals(upload.expires_at, upload.created_at + 3600);
    const part = (text: string, id = upload.id) =>
      client.uploads.parts.create(id, { data: new Blob([text]) as File });
    const [second, first] = [await part(" row\nb"), await part("a new")];
    assertEquals([first.object, first.upload_id], ["upload.part", upload.id]);
    const part_ids = [first.id, second.id];
    const refused = async (params: OpenAI.Uploads.UploadCompleteParams, param: string) => {
      const error = await assertRejects(
        () => client.uploads.complete(upload.id, params),
        OpenAI.BadRequestError,
      );
      assertEquals(error.param, param);
    };
    await refused({ part_ids: [first.id] }, "part_ids");
    await refused({ part_ids: [first.id, "part-none"] }, "part_ids");
    await refused({ part_ids: [first.id, first.id] }, "part_ids");
    await refused({ part_ids, md5: "0".repeat(32) }, "md5");
    const done = await client.uploads.complete(upload.id, {
      part_ids,
      md5: "cf85fd251b62487d9e3ede7ca7471209",
    });
    assertEquals([done.status, done.file?.filename, done.file?.bytes], ["completed", "train.txt", 11]);
    assertEquals(done.file!.expires_at, done.file!.created_at + 7200);
    assertEquals(await (await client.files.content(done.file!.id)).text(), "a new row\nb");
    await assertRejects(() => client.uploads.complete(upload.id, { part_ids }), OpenAI.ConflictError);
    await assertRejects(() => part("more"), OpenAI.ConflictError);

    const other = await create(5);
    await part("abc", other.id);
    assertEquals((await client.uploads.cancel(other.id)).status, "cancelled");
    await assertRejects(() => part("de", other.id), OpenAI.ConflictError);
    await assertRejects(() => client.uploads.cancel("upload-none"), OpenAI.NotFoundError);
    assertEquals((await assertRejects(() => create(101), OpenAI.BadRequestError)).param, "bytes");
    const small = await create(3);
    const large = await assertRejects(() => part("abcd", small.id), OpenAI.APIError);
    assertEquals([large.status, large.param], [413, "data"]);
    for (const text of ["abc", "abc"]) await part(text, small.id);
    await assertRejects(() => part("abc", small.id), OpenAI.BadRequestError, "more than twice");
    assertEquals(await Array.fromAsync(Deno.readDir(`${world.folder}/uploads`)).then((all) => all.length), 1);

    const job = await client.fineTuning.jobs.create({ model: "org/tiny", training_file: done.file!.id });
    assertEquals((await world.finished(job.id)).status, "succeeded");
  }));

Deno.test("an upload that is not completed within the hour expires, and its parts go", async () => {
  const clock = shiftedClock();
  await withClient(
    { clock: { now: () => clock.now(), sleep: clock.sleep } as Clock },
    async (client, world) => {
      const { id } = await client.uploads.create({
        ...{ bytes: 3, filename: "a", mime_type: "text/jsonl", purpose: "fine-tune" },
      });
      const { id: part } = await client.uploads.parts.create(id, { data: new Blob(["abc"]) as File });
      clock.forwardMs = 3_600_001;
      const error = await assertRejects(
        () => client.uploads.complete(id, { part_ids: [part] }),
        OpenAI.ConflictError,
        "expired",
      );
      assertEquals(error.param, "upload_id");
      const left = () => Array.fromAsync(Deno.readDir(`${world.folder}/uploads`));
      while ((await left()).length > 0) await systemClock.sleep(5);
    },
  );
});
