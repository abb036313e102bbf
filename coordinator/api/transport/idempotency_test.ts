import { assertEquals, assertStringIncludes } from "@std/assert";
import { errorOf, withWorld, type World } from "../../testing/app_fixture.ts";

const post = async (world: World, body: unknown, key: string | null): Promise<Response> =>
  await world.app.request("/v1/fine_tuning/jobs", {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", ...key === null ? {} : { "idempotency-key": key } },
  });
const idOf = async (response: Response) => (await response.json()).id;
const countOf = ({ store }: World) => store.jobs({ after: null, limit: 9 }).items.length;

Deno.test("a request that is repeated with its key makes one job, over restarts and whatever became of the job", () =>
  withWorld({}, async (world) => {
    const { id: training_file } = await world.upload("a");
    const body = { model: "org/tiny", training_file, seed: 3 };
    const id = await idOf(await post(world, body, "key-1"));
    // The order of fields is no difference.
    const again = await post(world, { seed: 3, training_file, model: "org/tiny" }, "key-1");
    assertEquals([again.status, await idOf(again)], [200, id]);
    await world.finished(id);
    const finished = await (await post(world, body, "key-1")).json();
    assertEquals([finished.id, finished.status, countOf(world)], [id, "succeeded", 1]);
    await withWorld({ after: world, store: world.store }, async (next) => {
      assertEquals([await idOf(await post(next, body, "key-1")), countOf(next)], [id, 1]);
      const other = await idOf(await post(next, body, "key-2"));
      const without = await idOf(await post(next, body, null));
      assertEquals([new Set([id, other, without]).size, countOf(next)], [3, 3]);
      await next.finished(other);
      await next.finished(without);
    });
  }));

Deno.test("two requests with one key at the same moment make one job", () =>
  withWorld({}, async (world) => {
    const { id: training_file } = await world.upload("a");
    const body = { model: "org/tiny", training_file };
    const answers = await Promise.all([1, 2, 3].map(() => post(world, body, "key-1")));
    const ids = await Promise.all(answers.map(idOf));
    assertEquals([new Set(ids).size, countOf(world)], [1, 1]);
    await world.finished(ids[0]);
  }));

Deno.test("a key with a different body is a conflict that names the job; a refused request keeps its key free", () =>
  withWorld({}, async (world) => {
    const { id: training_file } = await world.upload("a");
    const body = { model: "org/tiny", training_file };
    const refused = await post(world, { ...body, model: "org/none" }, "key-1");
    assertEquals(refused.status, 404);
    const id = await idOf(await post(world, body, "key-1"));
    const other = await post(world, { ...body, seed: 9 }, "key-1");
    assertEquals(other.headers.get("x-should-retry"), "false");
    const { error } = await other.json();
    assertEquals([other.status, error.code, error.param], [409, "conflict", "idempotency-key"]);
    assertStringIncludes(error.message, id);
    assertEquals(countOf(world), 1);
    await world.finished(id);
  }));

Deno.test("what is no key is refused", () =>
  withWorld({}, async (world) => {
    const { id: training_file } = await world.upload("a");
    const body = { model: "org/tiny", training_file };
    for (const key of ["a b", "x".repeat(256), "é"]) {
      assertEquals(await errorOf(await post(world, body, key)), [400, "invalid_request", "idempotency-key"]);
    }
    assertEquals(countOf(world), 0);
  }));
