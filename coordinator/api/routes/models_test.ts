import { assertEquals } from "@std/assert";
import { parseJobRequest } from "../../job_request/parse.ts";
import { withWorld } from "../../testing/app_fixture.ts";

Deno.test("models are folders below the roots and results of jobs; ids may contain slashes", () =>
  withWorld({}, async (world) => {
    const { id: training_file } = await world.upload("a");
    const { id } = await world.jobs.create(
      parseJobRequest({ model: "org/tiny", training_file, suffix: "s" }),
    );
    await world.finished(id);
    const list = await (await world.app.request("/v1/models")).json();
    assertEquals(
      list.data.map((model: Record<string, unknown>) => [model["object"], model["id"], model["owned_by"]]),
      [["model", "org/tiny", "local"], ["model", `ft:org/tiny:s:${id}`, "lorafleet"]],
    );
    for (const model of list.data) {
      for (const path of [model.id, encodeURIComponent(model.id)]) {
        assertEquals(await (await world.app.request(`/v1/models/${path}`)).json(), model);
      }
    }
    const none = await world.app.request("/v1/models/org/none");
    const { error } = await none.json();
    assertEquals([none.status, error.code, error.param], [404, "model_not_found", "model"]);
  }));
