/** What workers ask: how to join, the base model's files, and a place for the adapter. */
import { createRoute, z } from "@hono/zod-openapi";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { modelManifestSchema } from "../../shared/model/model_manifest.ts";
import {
  addDescribed,
  bytesContent,
  errorAnswers,
  idParameter,
  jsonContent,
  pathParameter,
  userSecurity,
  workerSecurity,
} from "./services.ts";
import type { Api, ApiServices } from "./services.ts";
import { decideUpload, type UploadDecision } from "../training/upload_decision.ts";
import { bearerOf } from "./auth.ts";
import { HttpError } from "./transport/errors.ts";
import { readObject } from "./transport/bodies.ts";
import { serveFile } from "./transport/serve_file.ts";

const addressesSchema = z.object({ natsUrl: z.string(), httpUrl: z.string(), coordinatorId: z.string() })
  .openapi("FleetAddresses");
const joinSchema = addressesSchema.extend({
  natsUser: z.string(),
  natsPassword: z.string(),
  natsTakesToken: z.boolean().openapi({
    description: "Whether the token is who the worker is at the broker",
  }),
  natsTlsCa: z.string().optional().openapi({ description: "PEM, where the authority is a private one" }),
  token: z.string().openapi({ description: "Signed for the public key" }),
  tokenLifetimeMs: z.int().openapi({ description: "Ask again before this time is over" }),
}).openapi("JoinReply");
const joinRequestSchema = z.strictObject({
  publicKey: z.string().max(100).openapi({
    description: "An NKey of a user: U…, whose last characters are a checksum",
    pattern: "^U[A-Z2-7]{55}$",
    minLength: 56,
    maxLength: 56,
  }),
}).openapi("JoinRequest");

const storedSchema = z.object({ name: z.string(), size: z.int(), sha256: z.string() }).openapi(
  "CheckpointFile",
);

const revokedWorkerSchema = z.object({ id: z.string(), object: z.literal("worker"), revoked: z.boolean() })
  .openapi("RevokedWorker");

const reinstatedWorkerSchema = z.object({
  id: z.string(),
  object: z.literal("worker"),
  reinstated: z.boolean(),
}).openapi("ReinstatedWorker");

export function addWorkerRoutes(api: Api, services: ApiServices): void {
  const { models, artifacts, jobs, access, fleet, addresses } = services;

  api.openapi(
    createRoute({
      method: "get",
      path: "/join/{token}",
      operationId: "findFleet",
      summary: "Where the fleet is, for whoever may join it",
      request: { params: z.object({ token: z.string() }) },
      responses: { 200: jsonContent(addressesSchema, "Addresses"), ...errorAnswers },
    }),
    (c) => {
      access.assertJoinToken(c.req.valid("param").token);
      const { natsUrl, httpUrl, coordinatorId } = addresses(new URL(c.req.url));
      c.header("cache-control", "no-store");
      return c.json({ natsUrl, httpUrl, coordinatorId }, 200);
    },
  );

  addDescribed(api, {
    method: "post",
    path: "/join/{token}",
    operationId: "join",
    summary: "Join as a worker with a key of its own, or get the next token before the last one ends",
    description:
      "A worker that shows its last token, still good, gets the next one whatever has become of the join token.",
    request: {
      params: z.object({ token: z.string() }),
      body: { required: true, content: { "application/json": { schema: joinRequestSchema } } },
    },
    responses: { 200: jsonContent(joinSchema, "Addresses and credentials"), ...errorAnswers },
  }, async (c) => {
    const { publicKey } = await readObject(c, joinRequestSchema);
    const { token, lifetimeMs } = access.join({
      joinToken: pathParameter(c, "token"),
      publicKey,
      credential: bearerOf(c) || null,
    });
    c.header("cache-control", "no-store");
    const reply = { ...addresses(new URL(c.req.url)), token, tokenLifetimeMs: lifetimeMs };
    return c.json(reply satisfies z.output<typeof joinSchema>, 200);
  });

  api.openapi(
    createRoute({
      method: "delete",
      path: "/v1/workers/{id}",
      operationId: "revokeWorker",
      summary: "Throw a worker out: its token is worth nothing from now on, its connections are closed",
      security: userSecurity,
      request: { params: idParameter },
      responses: { 200: jsonContent(revokedWorkerSchema, "It is revoked"), ...errorAnswers },
    }),
    async (c) => {
      const { id } = c.req.valid("param");
      await access.revokeWorker(id);
      return c.json({ id, object: "worker" as const, revoked: true }, 200);
    },
  );

  api.openapi(
    createRoute({
      method: "post",
      path: "/v1/workers/{id}/reinstate",
      operationId: "reinstateWorker",
      summary: "Give a worker that is in quarantine work again, whatever its quarantine would last until",
      security: userSecurity,
      request: { params: idParameter },
      responses: { 200: jsonContent(reinstatedWorkerSchema, "It is reinstated"), ...errorAnswers },
    }),
    (c) => {
      const { id } = c.req.valid("param");
      fleet.reinstate(id);
      return c.json({ id, object: "worker" as const, reinstated: true }, 200);
    },
  );

  api.openapi(
    createRoute({
      method: "get",
      path: "/v1/base-models/{hash}",
      operationId: "retrieveBaseModel",
      summary: "The files of a base model with their SHA-256",
      security: workerSecurity,
      request: { params: z.object({ hash: z.string() }) },
      responses: { 200: jsonContent(modelManifestSchema, "The manifest"), ...errorAnswers },
    }),
    (c) => c.json(models.byHash(c.req.valid("param").hash).manifest, 200),
  );

  addDescribed(api, {
    method: "get",
    path: "/v1/base-models/{hash}/files/{name}",
    operationId: "downloadBaseModelFile",
    summary: "Download a file of a base model, whole or in ranges",
    security: workerSecurity,
    request: {
      params: z.object({ hash: z.string(), name: z.string() }),
      headers: z.object({ range: z.string().optional() }),
    },
    responses: {
      200: bytesContent("The file's bytes"),
      206: bytesContent("A range of them"),
      ...errorAnswers,
    },
  }, async (c) => {
    const { folder, manifest } = models.byHash(pathParameter(c, "hash"));
    const name = pathParameter(c, "name");
    const file = manifest.files.find((listed) => listed.name === name);
    if (file === undefined) {
      throw new LoraFleetError("not_found", `base model ${manifest.hash} has no file ${quote(name)}`, {
        param: "name",
      });
    }
    return await serveFile(c.req.raw, { ...file, path: `${folder}/${name}`, filename: name });
  });

  addDescribed(api, {
    method: "put",
    path: "/internal/jobs/{id}/checkpoints/{step}/{file}",
    operationId: "uploadCheckpointFile",
    summary: "Store a file of the adapter; the same bytes may be sent again",
    security: workerSecurity,
    request: {
      params: z.object({ id: z.string(), step: z.string(), file: z.string() }),
      headers: z.object({ "x-lorafleet-sha256": z.string() }),
      body: {
        required: true,
        content: { "application/octet-stream": { schema: z.string().openapi({ format: "binary" }) } },
      },
    },
    responses: { 200: jsonContent(storedSchema, "It is stored and checked"), ...errorAnswers },
  }, async (c) => {
    const job = jobs.get(pathParameter(c, "id"));
    if (job.status !== "running") {
      throw new LoraFleetError(
        "conflict",
        `job ${quote(job.id)} is ${job.status}: only a running one takes checkpoints`,
      );
    }
    const { worker } = access.identify(bearerOf(c));
    const text = pathParameter(c, "step");
    const attempt = {
      worker,
      step: /^[0-9]{1,15}$/.test(text) ? Number(text) : text,
      name: pathParameter(c, "file"),
      contentLength: lengthOf(c.req.header("content-length")),
    };
    const { maxBytes } = allowed(decideUpload(fleet.checkpointAssignment(job.id), attempt));
    const { name } = attempt;
    const upload = {
      step: Number(text),
      name,
      writer: worker,
      sha256: c.req.header("x-lorafleet-sha256") ?? "",
      maxBytes,
    };
    const stored = await artifacts.put(job.id, upload, c.req.raw.body ?? ReadableStream.from([]));
    // Meanwhile somebody else may have been asked; what this one has sent is then of no use.
    allowed(decideUpload(fleet.checkpointAssignment(job.id), { ...attempt, contentLength: stored.size }));
    return c.json(stored, 200);
  });
}

/** The bounds of an upload that is taken. Throws an `HttpError` for any other. */
function allowed(decision: UploadDecision): { readonly minBytes: number; readonly maxBytes: number } {
  if (decision.isAllowed) return decision;
  const code = { 400: "invalid_request", 403: "forbidden", 409: "conflict", 413: "file_too_large" } as const;
  throw new HttpError(decision.status, code[decision.status], decision.reason);
}

function lengthOf(header: string | undefined): number | null {
  return header === undefined || !/^[0-9]{1,15}$/.test(header) ? null : Number(header);
}
