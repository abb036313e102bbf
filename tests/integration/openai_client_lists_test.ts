/** Lists and filters as the `openai` package uses them. */
import { assertEquals, assertRejects } from "@std/assert";
import OpenAI from "openai";
import { API_KEY, withClient } from "./openai_client_fixture.ts";

Deno.test("jobs.list(metadata) gives the jobs that have all pairs, and metadata=null those without any", () =>
  withClient({}, async (client, world) => {
    const training_file = (await world.upload("a")).id;
    const make = async (metadata: Record<string, string> | null) =>
      (await client.fineTuning.jobs.create({ model: "org/tiny", training_file, metadata })).id;
    const nobody = await make(null);
    const anna = await make({ owner: "anna", team: "a" });
    const ben = await make({ owner: "ben", team: "a" });
    const odd = await make({ "a.b c[0]": "x=y&z", "": "empty key" });
    const list = async (metadata: Record<string, string>) =>
      (await Array.fromAsync(client.fineTuning.jobs.list({ metadata, limit: 1 }))).map(({ id }) => id);
    assertEquals(await list({ owner: "anna" }), [anna]);
    assertEquals(await list({ team: "a" }), [ben, anna]);
    assertEquals(await list({ team: "a", owner: "ben" }), [ben]);
    assertEquals(await list({ owner: "carl" }), []);
    assertEquals(await list({ "a.b c[0]": "x=y&z" }), [odd]);
    assertEquals(await list({}), [odd, ben, anna, nobody]);
    // The package leaves a null out; OpenAI documents this form.
    const raw = await client.fineTuning.jobs.list({}, { query: { metadata: "null" } });
    assertEquals(raw.data.map(({ id }) => id), [nobody]);
    for (const id of [nobody, anna, ben, odd]) await world.finished(id);
  }));

Deno.test("files that are deleted while they are listed: each is met once", () =>
  withClient({}, async (client, world) => {
    const ids: string[] = [];
    for (let index = 0; index < 9; index++) ids.unshift((await world.upload(`${index}`)).id);
    const met: string[] = [];
    for await (const { id } of client.files.list({ limit: 3 })) {
      met.push(id);
      await client.files.delete(id);
    }
    assertEquals(met, ids);
    assertEquals((await client.files.list()).data, []);
    const last = await world.upload("z");
    const page = await client.files.list({ after: ids[4]!, order: "asc" });
    assertEquals(page.data.map(({ id }) => id), [last.id]);
    for (
      const list of [client.files.list({ after: "file-none" }), client.fineTuning.jobs.list({ after: "x" })]
    ) {
      const error = await assertRejects(async () => await list, OpenAI.NotFoundError);
      assertEquals(error.param, "after");
    }
    assertEquals((await client.files.list({ after: "" })).data.length, 1);
  }));

Deno.test("files are listed by purpose, in either order, in pages with their bounds", () =>
  withClient({}, async (client, world) => {
    const ids = [(await world.upload("1")).id, (await world.upload("2")).id, (await world.upload("3")).id];
    const page = await client.files.list({ order: "asc", limit: 2, purpose: "fine-tune" });
    assertEquals(page.data.map(({ id }) => id), ids.slice(0, 2));
    const raw = await client.get("/files?order=asc&limit=2") as Record<string, unknown>;
    assertEquals([raw["first_id"], raw["last_id"], raw["has_more"]], [ids[0], ids[1], true]);
    assertEquals((await client.files.list({ purpose: "batch" })).data, []);
    for (const limit of [0, -1, 10_001, 1.5]) {
      const error = await assertRejects(
        async () => await client.files.list({ limit }),
        OpenAI.BadRequestError,
      );
      assertEquals(error.param, "limit", `${limit}`);
    }
  }));

Deno.test("unknown query parameters are refused by name on every route, known ones that come twice too", () =>
  withClient({}, async (client, world) => {
    const { id } = await world.upload("a");
    const job = await client.fineTuning.jobs.create({ model: "org/tiny", training_file: id });
    await world.finished(job.id);
    for (
      const path of [
        "/files",
        `/files/${id}`,
        `/files/${id}/content`,
        "/fine_tuning/jobs",
        `/fine_tuning/jobs/${job.id}`,
        `/fine_tuning/jobs/${job.id}/events`,
        `/fine_tuning/jobs/${job.id}/checkpoints`,
        `/fine_tuning/jobs/${job.id}/artifacts`,
        `/fine_tuning/jobs/${job.id}/artifacts/adapter_config.json`,
        "/models",
        "/models/org/tiny",
        "/workers",
        "/join-tokens",
      ]
    ) {
      const query = { owner: "anna" };
      const error = await assertRejects(() => client.get(path, { query }), OpenAI.BadRequestError);
      assertEquals([error.param, error.code], ["owner", "invalid_request"], path);
      await client.get(path);
    }
    const misspelled = await assertRejects(
      () => client.get("/files", { query: { limits: 3 } }),
      OpenAI.BadRequestError,
      'did you mean "limit"?',
    );
    assertEquals(misspelled.param, "limits");
    const twice = await fetch(`${client.baseURL}/files?limit=1&limit=2`, {
      headers: { authorization: `Bearer ${API_KEY}` },
    });
    assertEquals([twice.status, (await twice.json()).error.param], [400, "limit"]);
  }));
