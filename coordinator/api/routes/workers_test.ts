import { assertEquals } from "@std/assert";
import { errorOf, withWorld } from "../../testing/app_fixture.ts";

Deno.test("workers are listed with their state and speed", () =>
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
        protocol_version: 7,
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

Deno.test("a quarantined worker is listed with its reasons, and a user can reinstate it", () =>
  withWorld({ apiKeys: ["secret"] }, async ({ app, fleet }) => {
    const reasons = ["its gradient of micro-batch 1 is wrong", "and that of 2"];
    const since = 1_700_000_000_000;
    fleet.quarantine = { worker: "w1", reasons, since, jobId: "ftjob-a", until: "jobEnds" };
    const ask = (path: string, method: string, key = "secret") =>
      app.request(path, { method, headers: { authorization: `Bearer ${key}` } });
    const shown = async () => (await (await ask("/v1/workers", "GET")).json()).data[0].quarantine;
    assertEquals(await shown(), {
      reason: reasons.join("; "),
      ...{ reasons, since: 1_700_000_000, job_id: "ftjob-a", until: "job_ends" },
    });
    const denied = await ask("/v1/workers/w1/reinstate", "POST", "wrong");
    assertEquals((await errorOf(denied)).slice(0, 2), [401, "unauthorized"]);
    const response = await ask("/v1/workers/w1/reinstate", "POST");
    assertEquals([response.status, await response.json()], [
      200,
      { id: "w1", object: "worker", reinstated: true },
    ]);
    assertEquals(await shown(), null);
    const again = await ask("/v1/workers/w1/reinstate", "POST");
    assertEquals(await errorOf(again), [404, "not_found", "id"]);
  }));
