import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { z } from "zod";
import { LoraFleetError } from "../../shared/errors.ts";
import { JOIN_TOKEN, withWorld } from "../testing/app_fixture.ts";
import { createMetrics } from "../metrics/registry.ts";
import { createApp } from "./app.ts";

const errorSchema = z.object({
  error: z.strictObject({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.string(),
  }),
});

/** Asserts one shape for all errors; returns [status, code, param]. */
async function errorOf(response: Response): Promise<[number, string, string | null]> {
  assertMatch(response.headers.get("content-type")!, /^application\/json/);
  const { error } = errorSchema.parse(await response.json());
  assertEquals(error.type, response.status >= 500 ? "server_error" : "invalid_request_error");
  return [response.status, error.code, error.param];
}

Deno.test("an unknown path is 404; a known path with the wrong method is 405 with Allow", () =>
  withWorld({}, async ({ app }) => {
    assertEquals(await errorOf(await app.request("/v2/files")), [404, "unknown_url", null]);
    const withoutVersion = await app.request("/files");
    assertStringIncludes(
      await withoutVersion.clone().text(),
      "it is /v1/files; a client's base URL ends with /v1",
    );
    assertEquals(await errorOf(withoutVersion), [404, "unknown_url", null]);
    const patch = await app.request("/v1/files/file-1", { method: "PATCH" });
    assertEquals(patch.headers.get("allow"), "HEAD, GET, DELETE");
    assertEquals(await errorOf(patch), [405, "method_not_allowed", null]);
    const put = await app.request("/v1/fine_tuning/jobs", { method: "PUT" });
    assertEquals(put.headers.get("allow"), "HEAD, GET, POST");
  }));

Deno.test("with API keys, every route but health, join and the description needs one", () =>
  withWorld({ apiKeys: ["key-one", "key-two"] }, async ({ app }) => {
    const get = (path: string, token?: string) =>
      app.request(path, { headers: token === undefined ? {} : { authorization: `Bearer ${token}` } });
    for (const path of ["/v1/files", "/v1/fine_tuning/jobs", "/v1/models", "/v1/workers", "/v1/unknown"]) {
      for (const token of [undefined, "key-on", JOIN_TOKEN]) {
        const response = await get(path, token);
        assertEquals(response.headers.get("www-authenticate"), "Bearer");
        assertEquals(await errorOf(response), [401, "unauthorized", null]);
      }
    }
    assertEquals((await get("/v1/files", "key-one")).status, 200);
    assertEquals((await get("/v1/files", "key-two")).status, 200);
    for (const path of ["/healthz", "/readyz", "/openapi.json", `/join/${JOIN_TOKEN}`]) {
      assertEquals((await get(path)).status, 200, path);
    }
  }));

Deno.test("without API keys only this machine is served, and no web page of a different site", () =>
  withWorld({}, async ({ app }) => {
    const get = (url: string, headers: Record<string, string> = {}) => app.request(url, { headers });
    for (const host of ["localhost:8787", "127.0.0.1", "[::1]:1"]) {
      assertEquals((await get(`http://${host}/v1/files`)).status, 200, host);
    }
    assertEquals(
      (await get("http://localhost:8787/v1/files", { origin: "http://localhost:8787" })).status,
      200,
    );
    assertEquals(await errorOf(await get("http://rebound.example/v1/files")), [403, "forbidden", null]);
    const form = await get("http://localhost:8787/v1/files", { origin: "http://evil.example" });
    assertEquals(await errorOf(form), [403, "forbidden", null]);
  }));

Deno.test("browsers never treat a response as a page", () =>
  withWorld({}, async ({ app }) => {
    for (const path of ["/healthz", "/v1/files", "/v1/none", "/join/wrong"]) {
      const { headers } = await app.request(`http://localhost${path}`);
      assertEquals(headers.get("x-content-type-options"), "nosniff", path);
      assertEquals(headers.get("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
    }
  }));

Deno.test("a defect is a 500 without details; a full disk is a 507", () =>
  withWorld({}, async ({ services, defects }) => {
    let thrown: unknown = new TypeError("cannot read /secret/path");
    const app = createApp({
      ...services,
      metrics: createMetrics(services.onDefect),
      fleet: {
        ...services.fleet,
        workers: () => {
          throw thrown;
        },
      },
    });
    const response = await app.request("/v1/workers");
    assert(!(await response.clone().text()).includes("secret"));
    assertEquals(await errorOf(response), [500, "internal_error", null]);
    thrown = new LoraFleetError("storage", "no space left");
    assertEquals(await errorOf(await app.request("/v1/workers")), [507, "storage", null]);
    assertEquals(defects, [
      "GET /v1/workers: cannot read /secret/path",
      "GET /v1/workers: no space left",
    ]);
  }));

Deno.test("/healthz is always ok; /readyz names what is missing", () =>
  withWorld({}, async ({ app, checks }) => {
    assertEquals(await (await app.request("/healthz")).json(), { status: "ok" });
    const ready = await app.request("/readyz");
    assertEquals([ready.status, await ready.json()], [200, { status: "ready", checks: { nats: "ok" } }]);
    checks.push({ name: "store", problem: "locked" });
    const notReady = await app.request("/readyz");
    assertEquals([notReady.status, await notReady.json()], [503, {
      status: "not_ready",
      checks: { nats: "ok", store: "locked" },
    }]);
  }));

const operationSchema = z.object({
  operationId: z.string(),
  summary: z.string(),
  parameters: z.array(z.object({ name: z.string(), in: z.string() })).default([]),
  responses: z.record(z.string(), z.object({ description: z.string().min(1) })),
});
const documentSchema = z.object({
  openapi: z.literal("3.1.0"),
  info: z.object({ title: z.string(), version: z.string() }),
  paths: z.record(z.string(), z.record(z.string(), operationSchema)),
  components: z.record(z.string(), z.record(z.string(), z.unknown())),
});

Deno.test("the OpenAPI document is valid and lists every route", () =>
  withWorld({}, async ({ app }) => {
    const response = await app.request("/openapi.json");
    const text = await response.text();
    const { paths, components } = documentSchema.parse(JSON.parse(text));

    const described = Object.entries(paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`)
    );
    const routed = app.routes.filter(({ method }) => method !== "ALL")
      .map(({ method, path }) => `${method} ${path.replace(/\{\.\+\}/, "").replace(/:(\w+)/g, "{$1}")}`);
    assertEquals(described.sort(), [...new Set(routed)].sort());

    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.values(methods).map((operation) => ({ path, operation }))
    );
    assertEquals(new Set(operations.map(({ operation }) => operation.operationId)).size, operations.length);
    for (const { path, operation } of operations) {
      const inPath = operation.parameters.filter((parameter) => parameter.in === "path").map(({ name }) =>
        name
      );
      assertEquals(inPath.sort(), [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!).sort(), path);
      assert("default" in operation.responses, path);
    }
    for (const [, kind, name] of text.matchAll(/"#\/components\/(\w+)\/(\w+)"/g)) {
      assert(components[kind!]?.[name!] !== undefined, `${kind}/${name} is missing`);
    }
    assertStringIncludes(text, "lora_alpha");
    // Names of our own that no other library's documentation explains.
    for (
      const part of [
        "bytes fall by inner_steps",
        "a second worker with the same GPU",
        "How gradients travel",
      ]
    ) {
      assertStringIncludes(text, part);
    }
  }));
