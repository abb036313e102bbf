import { assertEquals } from "@std/assert";
import { createNatsKeys } from "../../../shared/bus/nats_keys.ts";
import { workerIdOf } from "../../../shared/protocol/ids.ts";
import { parseJobRequest } from "../../job_request/parse.ts";
import { errorOf, withWorld } from "../../testing/app_fixture.ts";
import { sha256Of } from "../../storage/streamed_file.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("only the assigned worker can store an adapter", () =>
  withWorld({}, async (world) => {
    const { publicKey } = createNatsKeys("user");
    const writer = world.worker(publicKey);
    const other = world.worker();
    world.fleet.beforeStep = (_job, _step, signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const training_file = (await world.upload("a")).id;
    const { id } = await world.jobs.create(parseJobRequest({ model: "org/tiny", training_file }));
    await world.until(id, (job) => job.status === "running");
    const assignment = {
      ...{ step: 1, writer: workerIdOf(publicKey), savesState: false },
      layout: { tensorCount: 2, elementCount: 128, parameterCount: 128 },
    };
    const put = (path: string, text: string, headers: Record<string, string> = {}) =>
      world.app.request(`/internal/jobs/${path}`, {
        method: "PUT",
        body: bytes(text),
        headers: { ...writer, "x-lorafleet-sha256": sha256Of(bytes(text)), ...headers },
      });
    const file = `${id}/checkpoints/1/adapter_config.json`;
    assertEquals(await errorOf(await put(file, "{}")), [409, "conflict", null]);
    world.fleet.assignment = assignment;
    const stored = { name: "adapter_config.json", size: 2, sha256: sha256Of(bytes("{}")) };
    for (let attempt = 0; attempt < 2; attempt++) {
      const response = await put(file, "{}");
      assertEquals([response.status, await response.json()], [200, stored]);
    }
    // It counts once its writer has reported it and the coordinator has checked it.
    assertEquals(await world.artifacts.files(id, 1), []);
    const large = "x".repeat(2 ** 20 + 1);
    const weights = `${id}/checkpoints/1/adapter_model.safetensors`;
    const cases: [Response, [number, string, string | null]][] = [
      [await put(file, "{}", other), [403, "forbidden", null]],
      [await put(`${id}/checkpoints/999999/adapter_config.json`, "{}"), [409, "conflict", null]],
      [await put(`${id}/checkpoints/2/adapter_config.json`, "{}", other), [409, "conflict", null]],
      [await put(file, "{ }", { "x-lorafleet-sha256": "0".repeat(64) }), [400, "corrupt", null]],
      [await put(file, "{ }", { "x-lorafleet-sha256": "" }), [400, "invalid_request", "sha256"]],
      [await put(file, large, { "content-length": String(large.length) }), [413, "file_too_large", null]],
      // Without an announced length the bytes are counted.
      [await put(file, large), [413, "file_too_large", "file"]],
      [await put(weights, "too few"), [413, "file_too_large", null]],
      [await put(`${id}/checkpoints/1/optimizer.bin`, "x"), [400, "invalid_request", null]],
      [await put(`${id}/checkpoints/1/..%2F..%2Fx`, "x"), [400, "invalid_request", null]],
      [await put(`${id}/checkpoints/0/adapter_config.json`, "x"), [400, "invalid_request", null]],
      [await put(`${id}/checkpoints/1e3/adapter_config.json`, "x"), [400, "invalid_request", null]],
      [await put("ftjob-none/checkpoints/1/adapter_config.json", "x"), [
        404,
        "not_found",
        "fine_tuning_job_id",
      ]],
      [await put(file, "{}", { authorization: "Bearer wrong" }), [401, "unauthorized", null]],
    ];
    for (const [response, expected] of cases) assertEquals(await errorOf(response), expected);
    assertEquals([await world.artifacts.files(id, 1), await world.artifacts.steps(id)], [[], []]);
    world.jobs.cancel(id);
    assertEquals(await errorOf(await put(file, "{}")), [409, "conflict", null]);
  }));
