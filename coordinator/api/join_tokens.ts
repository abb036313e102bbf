/** `/v1/join-tokens`: who may join the fleet. A token itself is told once, when it is made; after that only its hash is known. */
import { createRoute, z } from "@hono/zod-openapi";
import type { JoinTokenRecord } from "../access/access_store.ts";
import { addDescribed, errorAnswers, idParameter, jsonContent, userSecurity } from "./services.ts";
import type { Api, ApiServices } from "./services.ts";
import { readObject } from "./transport/bodies.ts";
import { listSchema, listView } from "./views.ts";

/** Ten years: whoever means "for ever" says null. */
const MAX_SECONDS = 10 * 365 * 86_400;

const timestamp = z.int().openapi({ description: "Seconds since the Unix epoch" });

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
  token: z.string().openapi({ description: "It is not told again" }),
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
    description: "What becomes of the workers that have joined by it",
  }),
});

export function addJoinTokenRoutes(api: Api, services: ApiServices): void {
  const { access, clock, addresses, joinTokenTtlMs } = services;

  const view = (record: JoinTokenRecord): z.output<typeof joinTokenSchema> => {
    const seconds = (time: number | null) => time === null ? null : Math.floor(time / 1000);
    const { id, name, createdAt, expiresAt, revokedAt } = record;
    const isExpired = expiresAt !== null && expiresAt <= clock.now();
    return {
      ...{ id, name, object: "join_token" },
      created_at: Math.floor(createdAt / 1000),
      expires_at: seconds(expiresAt),
      revoked_at: seconds(revokedAt),
      status: revokedAt !== null ? "revoked" : isExpired ? "expired" : "valid",
    };
  };

  api.openapi(
    createRoute({
      method: "get",
      path: "/v1/join-tokens",
      operationId: "listJoinTokens",
      summary: "List join tokens, newest first, without the tokens themselves",
      security: userSecurity,
      responses: { 200: jsonContent(listSchema(joinTokenSchema), "All of them"), ...errorAnswers },
    }),
    (c) => c.json(listView(access.tokens().map(view)), 200),
  );

  addDescribed(api, {
    method: "post",
    path: "/v1/join-tokens",
    operationId: "createJoinToken",
    summary: "Make a join token",
    security: userSecurity,
    request: { body: { required: true, content: { "application/json": { schema: createSchema } } } },
    responses: { 200: jsonContent(newJoinTokenSchema, "The token, this once"), ...errorAnswers },
  }, async (c) => {
    const { name, expires_in_seconds } = await readObject(c, createSchema);
    const ttlMs = expires_in_seconds === undefined
      ? joinTokenTtlMs
      : expires_in_seconds === null
      ? null
      : 1000 * expires_in_seconds;
    const { record, token } = access.createToken(name, ttlMs);
    c.header("cache-control", "no-store");
    const join_url = `${addresses(new URL(c.req.url)).httpUrl}/join/${token}`;
    return c.json({ ...view(record), token, join_url } satisfies z.output<typeof newJoinTokenSchema>, 200);
  });

  api.openapi(
    createRoute({
      method: "delete",
      path: "/v1/join-tokens/{id}",
      operationId: "revokeJoinToken",
      summary: "Revoke a join token: nobody joins by it any more",
      security: userSecurity,
      request: { params: idParameter, query: revokeQuery },
      responses: { 200: jsonContent(revokedSchema, "It is revoked"), ...errorAnswers },
    }),
    async (c) => {
      const { workers } = c.req.valid("query");
      const { record, revokedWorkers } = await access.revokeToken(
        c.req.valid("param").id,
        workers === "revoke",
      );
      return c.json({ ...view(record), revoked_workers: revokedWorkers }, 200);
    },
  );
}
