import { assert, assertEquals } from "@std/assert";
import { createFakeClock } from "../../../shared/testing/fake_clock.ts";
import { createNatsKeys } from "../../../shared/bus/nats_keys.ts";
import { JOIN_TOKEN, withWorld, type World } from "../../testing/app_fixture.ts";

const headers = { "content-type": "application/json" };

async function make(app: World["app"], body: unknown) {
  const response = await app.request("http://localhost/v1/join-tokens", {
    ...{ method: "POST", headers },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

async function join(app: World["app"], token: string): Promise<[number, string]> {
  const response = await app.request(`http://localhost/join/${token}`, {
    ...{ method: "POST", headers },
    body: JSON.stringify({ publicKey: createNatsKeys("user").publicKey }),
  });
  const body = await response.json();
  return [response.status, body.error?.message ?? ""];
}

const list = async (app: World["app"]) =>
  (await (await app.request("http://localhost/v1/join-tokens")).json()).data;

Deno.test("a token is shown once, admits workers until it expires, and is listed as expired afterwards", async () => {
  const clock = createFakeClock(1_700_000_000_000);
  await withWorld({ clock }, async ({ app }) => {
    const { body: made } = await make(app, { name: "pods", expires_in_seconds: 60 });
    assertEquals(made.join_url, `http://localhost/join/${made.token}`);
    const { token: _token, join_url: _url, ...view } = made;
    assertEquals([view.name, view.status], ["pods", "valid"]);
    assertEquals([view.created_at, view.expires_at, view.revoked_at], [1_700_000_000, 1_700_000_060, null]);
    assertEquals((await list(app))[0], view);
    assert(!JSON.stringify(await list(app)).includes(made.token));
    assertEquals(await join(app, made.token), [200, ""]);
    await clock.advance(60_000);
    const [status, message] = await join(app, made.token);
    assertEquals(status, 401);
    assert(message.startsWith('the join token "pods" has expired 0 s ago; ask for a new one:'), message);
    assertEquals((await list(app))[0].status, "expired");
    assertEquals((await join(app, JOIN_TOKEN))[0], 200);
  });
});

Deno.test("a revoked token admits no worker; its workers stay or are revoked with it", () =>
  withWorld({}, async ({ app, revoked, access }) => {
    const { body: made } = await make(app, {});
    assertEquals([made.name, made.expires_at], ["by the API", null]);
    const { publicKey } = createNatsKeys("user");
    const { token } = access.join({ joinToken: made.token, publicKey, credential: null });
    const revoke = async (query: string) =>
      await (await app.request(`http://localhost/v1/join-tokens/${made.id}${query}`, { method: "DELETE" }))
        .json();
    const kept = await revoke("");
    assertEquals([kept.status, kept.revoked_workers, revoked], ["revoked", [], []]);
    const [status, message] = await join(app, made.token);
    assertEquals([status, message.includes('"by the API" was revoked')], [401, true]);
    const { worker } = access.identify(token);
    assertEquals((await revoke("?workers=revoke")).revoked_workers, [worker]);
    assertEquals(revoked, [publicKey]);
    assertEquals((await revoke("?workers=revoke")).revoked_workers, []);
  }));

Deno.test("malformed and unknown join tokens are named in the error; an API key is required", () =>
  withWorld({ apiKeys: ["key-one"] }, async ({ app }) => {
    assertEquals((await make(app, {})).status, 401);
    const user = { ...headers, authorization: "Bearer key-one" };
    const cases: [string, unknown, string][] = [
      ["POST", { expires_in_seconds: 0 }, "expires_in_seconds"],
      ["POST", { expires_in_seconds: "1h" }, "expires_in_seconds"],
      ["POST", { name: "" }, "name"],
      ["DELETE", null, "id"],
    ];
    for (const [method, body, param] of cases) {
      const path = method === "DELETE" ? "/v1/join-tokens/join-none" : "/v1/join-tokens";
      const response = await app.request(path, {
        ...{ method, headers: user },
        ...(body === null ? {} : { body: JSON.stringify(body) }),
      });
      assertEquals((await response.json()).error.param, param);
      assertEquals(response.status, method === "DELETE" ? 404 : 400);
    }
  }));
