/** `/v1/join-tokens`: tokens with which workers join. A token is shown once, when it is created; only its hash is stored. */
import { z } from "@hono/zod-openapi";
import type { JoinTokenRecord } from "../../access/access_store.ts";
import { readObject } from "../transport/bodies.ts";
import { listSchema, listView, seconds, timestamp } from "../views/list_view.ts";
import { addDescribed, type Api, idParameter, jsonBody, jsonContent, userRoute } from "./describe.ts";
import type { ApiServices } from "./services.ts";

/** Ten years; null is unlimited. */
const MAX_SECONDS = 10 * 365 * 86_400;

const joinTokenSchema = z.object({
  id: z.string(),
  object: z.literal("join_token"),
  name: z.string(),
  created_at: timestamp,
  expires_at: timestamp.nullable(),
  revoked_at: timestamp.nullable(),
  status: z.enum(["valid", "expired", "revoked"]),
}).openapi("JoinToken");

const newJoinTokenSchema = joinTokenSchema.extend({
  token: z.string().openapi({ description: "Shown only once" }),
  join_url: z.string().openapi({ description: "For deno task worker --join" }),
}).openapi("NewJoinToken");

const revokedSchema = joinTokenSchema.extend({ revoked_workers: z.array(z.string()) }).openapi(
  "RevokedJoinToken",
);

const createSchema = z.strictObject({
  name: z.string().min(1).max(200).default("by the API"),
  expires_in_seconds: z.int().min(1).max(MAX_SECONDS).nullable().optional(),
}).openapi("CreateJoinToken");

const revokeQuery = z.object({
  workers: z.enum(["keep", "revoke"]).default("keep").openapi({
    description: "What happens to the workers that joined with it",
  }),
});

const listTokens = userRoute("get", "/v1/join-tokens", "listJoinTokens", {
  summary: "List join tokens, newest first, without the tokens themselves",
  responses: { 200: jsonContent(listSchema(joinTokenSchema), "All join tokens") },
});

const createToken = userRoute("post", "/v1/join-tokens", "createJoinToken", {
  summary: "Create a join token",
  request: { body: jsonBody(createSchema) },
  responses: { 200: jsonContent(newJoinTokenSchema, "The token, shown only once") },
});

const revokeToken = userRoute("delete", "/v1/join-tokens/{id}", "revokeJoinToken", {
  summary: "Revoke a join token: it no longer admits workers",
  request: { params: idParameter, query: revokeQuery },
  responses: { 200: jsonContent(revokedSchema, "The token is revoked") },
});

export function addJoinTokenRoutes(api: Api, services: ApiServices): void {
  const { access, clock, addresses, joinTokenTtlMs } = services;
  const view = (record: JoinTokenRecord) => joinTokenView(record, clock.now());

  api.openapi(listTokens, (c) => c.json(listView(access.tokens().map(view)), 200));

  addDescribed(api, createToken, async (c) => {
    const { name, expires_in_seconds: lifetime } = await readObject(c, createSchema);
    const ttlMs = lifetime === undefined ? joinTokenTtlMs : lifetime === null ? null : 1000 * lifetime;
    const { record, token } = access.createToken(name, ttlMs);
    c.header("cache-control", "no-store");
    const join_url = `${addresses(new URL(c.req.url)).httpUrl}/join/${token}`;
    return c.json({ ...view(record), token, join_url } satisfies z.output<typeof newJoinTokenSchema>, 200);
  });

  api.openapi(revokeToken, async (c) => {
    const { id } = c.req.valid("param");
    const revokesWorkers = c.req.valid("query").workers === "revoke";
    const { record, revokedWorkers } = await access.revokeToken(id, revokesWorkers);
    return c.json({ ...view(record), revoked_workers: revokedWorkers }, 200);
  });
}

function joinTokenView(record: JoinTokenRecord, now: number): z.output<typeof joinTokenSchema> {
  const { id, name, createdAt, expiresAt, revokedAt } = record;
  const isExpired = expiresAt !== null && expiresAt <= now;
  return {
    ...{ id, name, object: "join_token" },
    created_at: seconds(createdAt),
    expires_at: expiresAt === null ? null : seconds(expiresAt),
    revoked_at: revokedAt === null ? null : seconds(revokedAt),
    status: revokedAt !== null ? "revoked" : isExpired ? "expired" : "valid",
  };
}
