import { assertEquals } from "@std/assert";
import { errorOf, withWorld } from "../../testing/app_fixture.ts";

Deno.test("a base model is served by hash, in ranges, to workers only", () =>
  withWorld({}, async (world) => {
    const { app, models } = world;
    const worker = world.worker();
    const { manifest } = await models.resolve("org/tiny");
    const url = `/v1/base-models/${manifest.hash}`;
    assertEquals(await (await app.request(url, { headers: worker })).json(), manifest);
    const file = `${url}/files/model.safetensors`;
    const part = await app.request(file, { headers: { ...worker, range: "bytes=7-" } });
    assertEquals([part.status, await part.text()], [206, "789"]);
    const head = await app.request(file, { method: "HEAD", headers: worker });
    assertEquals([head.headers.get("content-length"), await head.text()], ["10", ""]);
    const beyond = await app.request(file, { headers: { ...worker, range: "bytes=10-" } });
    assertEquals(beyond.headers.get("content-range"), "bytes */10");
    assertEquals(await errorOf(beyond), [416, "range_not_satisfiable", null]);
    assertEquals(await errorOf(await app.request(file)), [401, "unauthorized", null]);
    for (const name of ["README.md", "..%2Fconfig.json"]) {
      assertEquals(await errorOf(await app.request(`${url}/files/${name}`, { headers: worker })), [
        404,
        "not_found",
        "name",
      ]);
    }
    const unknown = await app.request(`/v1/base-models/${"0".repeat(64)}`, { headers: worker });
    assertEquals(await errorOf(unknown), [404, "not_found", "hash"]);
  }));
