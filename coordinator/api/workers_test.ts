import { assertEquals } from "@std/assert";
import { createNatsKeys } from "../../shared/bus/nats_keys.ts";
import { workerIdOf } from "../../shared/protocol/ids.ts";
import { parseJobRequest } from "../job_request/parse.ts";
import { JOIN_TOKEN, LIFETIME_MS, withWorld } from "./app_fixture.ts";
import type { Api } from "./services.ts";
import { sha256Of } from "../storage/streamed_file.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

async function errorOf(response: Response): Promise<[number, string, string | null]> {
  const { error } = await response.json();
  return [response.status, error.code, error.param];
}

const join = (app: Api, publicKey: string, token = JOIN_TOKEN, headers: Record<string, string> = {}) =>
  app.request(`http://fleet.example:8787/join/${token}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ publicKey }),
  });

Deno.test("the join token leads to the broker, by the address that the worker used", () =>
  withWorld({}, async ({ app, access }) => {
    const { publicKey } = createNatsKeys("user");
    const response = await join(app, publicKey);
    const { token, ...reply } = await response.json();
    assertEquals(reply, {
      natsUrl: "nats://fleet.example:4222",
      natsUser: "",
      natsPassword: "",
      natsTakesToken: true,
      httpUrl: "http://fleet.example:8787",
      coordinatorId: "c1",
      tokenLifetimeMs: LIFETIME_MS,
    });
    assertEquals(access.identify(token).worker, workerIdOf(publicKey));
    assertEquals(response.headers.get("cache-control"), "no-store");
    const look = await app.request(`http://fleet.example:8787/join/${JOIN_TOKEN}`);
    const { natsUrl, httpUrl, coordinatorId } = reply;
    assertEquals(await look.json(), { natsUrl, httpUrl, coordinatorId });

    assertEquals(await errorOf(await app.request("/join/wrong")), [401, "unauthorized", "token"]);
    assertEquals(await errorOf(await join(app, publicKey, "wrong")), [401, "unauthorized", "token"]);
    for (
      const bad of [
        "",
        "UABC",
        createNatsKeys("account").publicKey,
        publicKey.slice(0, -1) + (publicKey.endsWith("A") ? "B" : "A"),
      ]
    ) {
      assertEquals(await errorOf(await join(app, bad)), [400, "invalid_request", "publicKey"], bad);
    }
    assertEquals(await errorOf(await join(app, "U".repeat(101))), [400, "invalid_request", "publicKey"]);
  }));

Deno.test("a worker in the fleet gets its next token whatever has become of the join token, until it is revoked", () =>
  withWorld({}, async ({ app, access, revoked }) => {
    const { publicKey } = createNatsKeys("user");
    const { token } = await (await join(app, publicKey)).json();
    const own = { authorization: `Bearer ${token}` };
    await access.revokeToken(access.tokens()[0]!.id, false);
    assertEquals(await errorOf(await join(app, publicKey)), [401, "unauthorized", "token"]);
    const another = createNatsKeys("user").publicKey;
    assertEquals(await errorOf(await join(app, another, JOIN_TOKEN, own)), [401, "unauthorized", "token"]);
    const next = await (await join(app, publicKey, JOIN_TOKEN, own)).json();

    const id = workerIdOf(publicKey);
    const response = await app.request(`http://localhost/v1/workers/${id}`, { method: "DELETE" });
    assertEquals(await response.json(), { id, object: "worker", revoked: true });
    assertEquals(revoked, [publicKey]);
    for (const token of [own, { authorization: `Bearer ${next.token}` }]) {
      assertEquals(await errorOf(await join(app, publicKey, JOIN_TOKEN, token)), [
        401,
        "unauthorized",
        "token",
      ]);
      const model = await app.request("/v1/base-models/x", { headers: token });
      assertEquals(await errorOf(model), [401, "unauthorized", null]);
    }
    const unknown = await app.request("http://localhost/v1/workers/w-none", { method: "DELETE" });
    assertEquals(await errorOf(unknown), [404, "not_found", "id"]);
  }));

Deno.test("a base model is served by its hash, in ranges, to workers alone", () =>
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

Deno.test("the worker that is asked stores its adapter, and nobody else anything", () =>
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
    // It counts when its writer has said so, and the coordinator has looked.
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
      // Its length is not announced: the bytes are counted.
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

Deno.test("a worker in quarantine is shown with its reasons, and reinstated by a user", () =>
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
