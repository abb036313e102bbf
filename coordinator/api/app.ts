/** The HTTP API: who may ask what, the routes, one shape of errors, and its own description. */
import { knownQueryOnly } from "./transport/known_query.ts";
import { addDescribed, errorAnswers, jsonContent, newApi } from "./services.ts";
import type { Api, ApiServices } from "./services.ts";
import { dataForNoBrowser, requireApiKey, requireLocalCaller, requireWorker } from "./auth.ts";
import { errorResponse, unknownRoute } from "./transport/errors.ts";
import { addFileRoutes } from "./files.ts";
import { addHealthRoutes } from "./health.ts";
import { addJobOutputRoutes } from "./job_outputs.ts";
import { addJobRoutes } from "./jobs.ts";
import { addJoinTokenRoutes } from "./join_tokens.ts";
import { addModelRoutes } from "./models.ts";
import { pacedBodies } from "./transport/paced_body.ts";
import { addUploadRoutes } from "./uploads.ts";
import { addWorkerRoutes } from "./workers.ts";
import { z } from "@hono/zod-openapi";

const API_VERSION = "0.1.0";

/** The app over its services; `app.fetch` serves it, `app.request` tests it. */
export function createApp(services: ApiServices): Api {
  const api = newApi();
  const { onDefect, hidePaths } = services;
  api.onError((thrown, c) => errorResponse(c, thrown, onDefect, hidePaths));
  api.notFound((c) => errorResponse(c, unknownRoute(api, c), onDefect, hidePaths));

  api.use("*", dataForNoBrowser, pacedBodies(services.clock));

  const user = services.apiKeys.length === 0 ? requireLocalCaller() : requireApiKey(services.apiKeys);
  const worker = requireWorker(services.access);
  api.use("/internal/*", worker);
  api.use("/v1/*", (c, next) => (c.req.path.startsWith("/v1/base-models/") ? worker : user)(c, next));

  api.use("*", knownQueryOnly(api));

  addFileRoutes(api, services);
  addUploadRoutes(api, services);
  addJobRoutes(api, services);
  addJobOutputRoutes(api, services);
  addModelRoutes(api, services);
  addWorkerRoutes(api, services);
  addJoinTokenRoutes(api, services);
  addHealthRoutes(api, {
    ...services,
    readiness: async () =>
      (await services.readiness()).map(({ name, problem }) => ({
        name,
        problem: problem === null ? null : hidePaths(problem),
      })),
  });
  addDescription(api);
  return api;
}

function addDescription(api: Api): void {
  const bearer = (description: string) => ({ type: "http", scheme: "bearer", description }) as const;
  api.openAPIRegistry.registerComponent(
    "securitySchemes",
    "apiKey",
    bearer("A key of LORAFLEET_API_KEY or --api-key; none is asked for where the coordinator has none"),
  );
  api.openAPIRegistry.registerComponent(
    "securitySchemes",
    "workerToken",
    bearer("What a worker has got by POST /join/{token}"),
  );
  addDescribed(api, {
    method: "get",
    path: "/openapi.json",
    operationId: "describe",
    summary: "This description",
    responses: { 200: jsonContent(z.record(z.string(), z.unknown()), "OpenAPI 3.1"), ...errorAnswers },
  }, (c) => c.json(openApiDocument(api), 200));
}

function openApiDocument(api: Api) {
  return api.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "lorafleet",
      version: API_VERSION,
      description: "Fine-tuning with QLoRA on a fleet of workers, in the shape of OpenAI's fine-tuning API",
    },
  });
}
