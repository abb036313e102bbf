import { assertEquals } from "@std/assert";
import { createNatsKeys } from "../../../shared/bus/nats_keys.ts";
import { workerIdOf } from "../../../shared/protocol/ids.ts";
import { errorOf, JOIN_TOKEN, LIFETIME_MS, withWorld } from "../../testing/app_fixture.ts";
import type { Api } from "./describe.ts";

const join = (app: Api, publicKey: string, token = JOIN_TOKEN, headers: Record<string, string> = {}) =>
  app.request(`http://fleet.example:8787/join/${token}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ publicKey }),
  });

Deno.test("the join token yields the broker's address, based on the address that the worker used", () =>
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
    // Behind a tunnel that ends TLS.
    const tunnelled = await join(app, publicKey, JOIN_TOKEN, { "x-forwarded-proto": "https" });
    assertEquals((await tunnelled.json()).httpUrl, "https://fleet.example:8787");

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

Deno.test("a member of the fleet renews its token even if the join token is void, until it is revoked", () =>
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
