/** `/join/{token}`: how a worker finds and joins the fleet. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { readObject } from "../transport/bodies.ts";
import { bearerOf } from "../transport/auth.ts";
import { addressesSchema, joinReplySchema } from "../views/join_view.ts";
import { addDescribed, type Api, jsonBody, jsonContent, openRoute, pathParameter } from "./describe.ts";
import type { ApiServices } from "./services.ts";

const requestSchema = z.strictObject({
  publicKey: z.string().max(100).openapi({
    description: "A user's NKey: U…, ending in a checksum",
    pattern: "^U[A-Z2-7]{55}$",
    minLength: 56,
    maxLength: 56,
  }),
}).openapi("JoinRequest");

const params = z.object({ token: z.string() });

const findFleet = openRoute("get", "/join/{token}", "findFleet", {
  summary: "The fleet's addresses, for holders of a join token",
  request: { params },
  responses: { 200: jsonContent(addressesSchema, "Addresses") },
});

const join = openRoute("post", "/join/{token}", "join", {
  summary: "Join as a worker with its own key, or get the next token before the last one ends",
  description:
    "A worker with a valid token gets the next one even if the join token has ended or is revoked.",
  request: { params, body: jsonBody(requestSchema) },
  responses: { 200: jsonContent(joinReplySchema, "Addresses and credentials") },
});

/** The URL by which the worker came: a tunnel or proxy that ends TLS says so, and only its own addresses depend on it. */
function urlUsed({ req }: Context): URL {
  const url = new URL(req.url);
  if (req.header("x-forwarded-proto") === "https") url.protocol = "https:";
  return url;
}

export function addJoinRoutes(api: Api, { access, addresses }: ApiServices): void {
  api.openapi(findFleet, (c) => {
    access.assertJoinToken(c.req.valid("param").token);
    const { natsUrl, httpUrl, coordinatorId } = addresses(urlUsed(c));
    c.header("cache-control", "no-store");
    return c.json({ natsUrl, httpUrl, coordinatorId }, 200);
  });

  addDescribed(api, join, async (c) => {
    const { publicKey } = await readObject(c, requestSchema);
    const credential = bearerOf(c) || null;
    const joinToken = pathParameter(c, "token");
    const { token, lifetimeMs } = access.join({ joinToken, publicKey, credential });
    c.header("cache-control", "no-store");
    const reply = { ...addresses(urlUsed(c)), token, tokenLifetimeMs: lifetimeMs };
    return c.json(reply satisfies z.output<typeof joinReplySchema>, 200);
  });
}
