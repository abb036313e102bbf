/** The HTTP API: authentication, the routes, one form of errors, and its own description. */
import { z } from "@hono/zod-openapi";
import { addBaseModelRoutes } from "./routes/base_models.ts";
import { addCheckpointUploadRoutes } from "./routes/checkpoint_uploads.ts";
import { addDescribed, type Api, jsonContent, newApi, openRoute } from "./routes/describe.ts";
import { addExportRoutes } from "./routes/exports.ts";
import { addFileRoutes } from "./routes/files.ts";
import { addHealthRoutes } from "./routes/health.ts";
import { addJobEventRoutes } from "./routes/job_events.ts";
import { addJobOutputRoutes } from "./routes/job_outputs.ts";
import { addJobRoutes } from "./routes/jobs.ts";
import { addJoinTokenRoutes } from "./routes/join_tokens.ts";
import { addJoinRoutes } from "./routes/joining.ts";
import { addMetricsRoute } from "./routes/metrics.ts";
import { addModelRoutes } from "./routes/models.ts";
import type { ApiServices } from "./routes/services.ts";
import { addUploadRoutes } from "./routes/uploads.ts";
import { addWorkerRoutes } from "./routes/workers.ts";
import { httpMetrics } from "../metrics/http_metrics.ts";
import { dataForNoBrowser, requireApiKey, requireLocalCaller, requireWorker } from "./transport/auth.ts";
import { errorResponse, unknownRoute } from "./transport/errors.ts";
import { knownQueryOnly } from "./transport/known_query.ts";
import { pacedBodies } from "./transport/paced_body.ts";

export const API_VERSION = "0.1.0";

const ROUTES = [
  addFileRoutes,
  addUploadRoutes,
  addJobRoutes,
  addJobEventRoutes,
  addJobOutputRoutes,
  addExportRoutes,
  addModelRoutes,
  addJoinRoutes,
  addWorkerRoutes,
  addBaseModelRoutes,
  addCheckpointUploadRoutes,
  addJoinTokenRoutes,
  addHealthRoutes,
  addMetricsRoute,
];

/** The app over its services; `app.fetch` serves it, `app.request` tests it. */
export function createApp(services: ApiServices): Api {
  const api = newApi();
  const { onDefect, hidePaths } = services;
  api.onError((thrown, c) => errorResponse(c, thrown, onDefect, hidePaths));
  api.notFound((c) => errorResponse(c, unknownRoute(api, c), onDefect, hidePaths));

  api.use("*", httpMetrics(services.metrics, services.clock));
  api.use("*", dataForNoBrowser, pacedBodies(services.clock));

  const user = services.apiKeys.length === 0 ? requireLocalCaller() : requireApiKey(services.apiKeys);
  const worker = requireWorker(services.access);
  api.use("/internal/*", worker);
  api.use("/v1/*", (c, next) => (c.req.path.startsWith("/v1/base-models/") ? worker : user)(c, next));

  api.use("/metrics", user);

  api.use("*", knownQueryOnly(api));

  for (const addRoutes of ROUTES) addRoutes(api, services);
  addDescription(api);
  return api;
}

const describe = openRoute("get", "/openapi.json", "describe", {
  summary: "This description",
  responses: { 200: jsonContent(z.record(z.string(), z.unknown()), "OpenAPI 3.1") },
});

function addDescription(api: Api): void {
  const addBearer = (name: string, description: string) =>
    api.openAPIRegistry.registerComponent("securitySchemes", name, {
      type: "http",
      scheme: "bearer",
      description,
    });
  addBearer("apiKey", "A key of LORAFLEET_API_KEY or --api-key; not required if the coordinator has none");
  addBearer("workerToken", "The token that a worker gets from POST /join/{token}");
  addDescribed(api, describe, (c) => c.json(openApiDocument(api), 200));
}

function openApiDocument(api: Api) {
  return api.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "lorafleet",
      version: API_VERSION,
      description: "Fine-tuning with QLoRA on a fleet of workers, in the form of OpenAI's fine-tuning API",
    },
  });
}
