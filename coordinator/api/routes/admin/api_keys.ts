/** `/v1/api-keys`: keys of users, for admins. A key is shown once, when it is created; only its hash is stored. */
import { z } from "@hono/zod-openapi";
import type { ApiKeyRecord, Quotas } from "../../../access/api_keys.ts";
import { ROLES } from "../../../access/roles.ts";
import { readObject } from "../../transport/bodies.ts";
import { listSchema, listView, seconds, timestamp } from "../../views/list_view.ts";
import {
  addDescribed,
  type Api,
  idParameter,
  jsonBody,
  jsonContent,
  pathParameter,
  userRoute,
} from "../describe.ts";
import type { ApiServices } from "../services.ts";

/** Ten years; null is unlimited. */
const MAX_SECONDS = 10 * 365 * 86_400;

const quotasSchema = z.strictObject({
  jobs: z.int().min(0).nullable().optional().openapi({
    description: "Unfinished jobs at a time; null: any number",
  }),
  upload_bytes: z.int().min(0).nullable().optional().openapi({
    description: "Bytes of all its stored uploads; null: any number",
  }),
});

const apiKeySchema = z.object({
  id: z.string(),
  object: z.literal("api_key"),
  name: z.string(),
  role: z.enum(ROLES),
  quotas: z.object({ jobs: z.int().nullable(), upload_bytes: z.int().nullable() }),
  created_at: timestamp,
  expires_at: timestamp.nullable(),
  revoked_at: timestamp.nullable(),
  status: z.enum(["valid", "expired", "revoked"]),
  use: z.object({ jobs: z.int(), upload_bytes: z.int() }).openapi({
    description: "What of its quotas is taken now",
  }),
}).openapi("ApiKey");

const newApiKeySchema = apiKeySchema.extend({
  key: z.string().openapi({ description: "Shown only once" }),
}).openapi("NewApiKey");

const lifetime = z.int().min(1).max(MAX_SECONDS).nullable().optional().openapi({
  description: "From now on; null: without an end",
});
const createSchema = z.strictObject({
  name: z.string().min(1).max(100),
  role: z.enum(ROLES),
  quotas: quotasSchema.optional(),
  expires_in_seconds: lifetime,
}).openapi("CreateApiKey");
const changeSchema = createSchema.partial().openapi("ChangeApiKey");

const listKeys = userRoute("get", "/v1/api-keys", "listApiKeys", {
  summary: "List API keys, newest first, without the keys themselves",
  responses: { 200: jsonContent(listSchema(apiKeySchema), "All keys but the configured ones") },
});

const createKey = userRoute("post", "/v1/api-keys", "createApiKey", {
  summary: "Create an API key with a role and quotas",
  request: { body: jsonBody(createSchema) },
  responses: { 200: jsonContent(newApiKeySchema, "The key, shown only once") },
});

const changeKey = userRoute("post", "/v1/api-keys/{id}", "changeApiKey", {
  summary: "Change a key's name, role, quotas or lifetime",
  request: { params: idParameter, body: jsonBody(changeSchema) },
  responses: { 200: jsonContent(apiKeySchema, "The changed key") },
});

const revokeKey = userRoute("delete", "/v1/api-keys/{id}", "revokeApiKey", {
  summary: "Revoke an API key: it no longer lets anybody in, and its jobs stay",
  request: { params: idParameter },
  responses: { 200: jsonContent(apiKeySchema, "The key is revoked") },
});

export function addApiKeyRoutes(api: Api, services: ApiServices): void {
  const { apiKeys, clock } = services;
  const view = (record: ApiKeyRecord) => apiKeyView(record, services);
  const endOf = (lifetime: number | null | undefined): number | null =>
    lifetime === null || lifetime === undefined ? null : clock.now() + 1000 * lifetime;

  api.openapi(listKeys, (c) => c.json(listView(apiKeys.list().map(view)), 200));

  addDescribed(api, createKey, async (c) => {
    const { name, role, quotas, expires_in_seconds } = await readObject(c, createSchema);
    const fields = { name, role, quotas: quotasOf(quotas), expiresAt: endOf(expires_in_seconds) };
    const { record, key } = apiKeys.create(fields);
    c.header("cache-control", "no-store");
    return c.json({ ...view(record), key } satisfies z.output<typeof newApiKeySchema>, 200);
  });

  addDescribed(api, changeKey, async (c) => {
    const { quotas, expires_in_seconds, name, role } = await readObject(c, changeSchema);
    return c.json(
      view(apiKeys.change(pathParameter(c, "id"), {
        ...name === undefined ? {} : { name },
        ...role === undefined ? {} : { role },
        ...quotas === undefined ? {} : { quotas: quotasOf(quotas) },
        ...expires_in_seconds === undefined ? {} : { expiresAt: endOf(expires_in_seconds) },
      })),
      200,
    );
  });

  api.openapi(revokeKey, (c) => c.json(view(apiKeys.revoke(c.req.valid("param").id)), 200));
}

function quotasOf(given: z.output<typeof quotasSchema> = {}): Quotas {
  return { jobs: given.jobs ?? null, uploadBytes: given.upload_bytes ?? null };
}

function apiKeyView(record: ApiKeyRecord, { store, clock }: ApiServices): z.output<typeof apiKeySchema> {
  const { id, name, role, quotas, createdAt, expiresAt, revokedAt } = record;
  const isExpired = expiresAt !== null && expiresAt <= clock.now();
  return {
    ...{ id, object: "api_key", name, role },
    quotas: { jobs: quotas.jobs, upload_bytes: quotas.uploadBytes },
    created_at: seconds(createdAt),
    expires_at: expiresAt === null ? null : seconds(expiresAt),
    revoked_at: revokedAt === null ? null : seconds(revokedAt),
    status: revokedAt !== null ? "revoked" : isExpired ? "expired" : "valid",
    use: {
      jobs: store.unfinishedJobs().filter(({ owner }) => owner === id).length,
      upload_bytes: store.uploadedBytes(id),
    },
  };
}
