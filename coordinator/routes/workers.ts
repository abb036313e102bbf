/** What workers ask, with the join token: how to join, the base model's files, and a place for the adapter. */
import { createRoute, z } from "@hono/zod-openapi";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { modelManifestSchema } from "../../shared/model_manifest.ts";
import {
  addDescribed,
  bytesContent,
  errorAnswers,
  jsonContent,
  pathParameter,
  workerSecurity,
} from "./api.ts";
import type { Api, ApiServices } from "./api.ts";
import { equalSecrets } from "./auth.ts";
import { serveFile } from "./serve_file.ts";

const joinSchema = z.object({
  natsUrl: z.string(),
  natsUser: z.string(),
  natsPassword: z.string(),
  httpUrl: z.string(),
  token: z.string(),
  coordinatorId: z.string(),
}).openapi("JoinReply");

const storedSchema = z.object({ name: z.string(), size: z.int(), sha256: z.string() }).openapi(
  "CheckpointFile",
);

export function addWorkerRoutes(api: Api, services: ApiServices): void {
  const { models, artifacts, jobs, joinToken, joinReply } = services;

  api.openapi(
    createRoute({
      method: "get",
      path: "/join/{token}",
      operationId: "join",
      summary: "Where a worker finds the fleet",
      request: { params: z.object({ token: z.string() }) },
      responses: { 200: jsonContent(joinSchema, "Addresses and credentials"), ...errorAnswers },
    }),
    (c) => {
      if (!equalSecrets(c.req.valid("param").token, joinToken)) {
        throw new LoraFleetError(
          "unauthorized",
          "the join token is not valid; the coordinator prints the URL with the right one when it starts",
          { param: "token" },
        );
      }
      c.header("cache-control", "no-store");
      return c.json(joinReply(new URL(c.req.url)), 200);
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
    const step = pathParameter(c, "step");
    const stored = await artifacts.put(
      job.id,
      /^[0-9]{1,15}$/.test(step) ? Number(step) : NaN,
      pathParameter(c, "file"),
      c.req.raw.body ?? ReadableStream.from([]),
      c.req.header("x-lorafleet-sha256") ?? "",
    );
    return c.json(stored, 200);
  });
}
