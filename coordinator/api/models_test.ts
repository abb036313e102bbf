import { assertEquals } from "@std/assert";
import { parseJobRequest } from "../job_request/parse.ts";
import { withWorld } from "../testing/app_fixture.ts";

Deno.test("models are the folders below the roots and the results of jobs, found by ids with slashes", () =>
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

Deno.test("workers are shown with their state and speed", () =>
  withWorld({}, async ({ app }) => {
    const list = await (await app.request("/v1/workers")).json();
    assertEquals(list, {
      object: "list",
      data: [{
        object: "worker",
        id: "w1",
        incarnation: "w1-1",
        name: "pc",
        gpu: "a GPU",
        state: "ready",
        job_id: null,
        joined_at: 1_700_000_000,
        last_heartbeat_at: 1_700_000_001,
        max_heartbeat_gap_ms: 12.5,
        micro_batches_done: 7,
        tokens_per_second: 1000,
        gradient_bytes_sent: 4096,
        reason: null,
        strikes: [],
        accusations: [],
        quarantine: null,
      }],
      has_more: false,
      first_id: "w1",
      last_id: "w1",
    });
  }));
