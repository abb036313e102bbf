/** The HTTP API: authentication, the routes, one form of errors, and its own description. */
import { z } from "@hono/zod-openapi";
import { addApiKeyRoutes } from "./routes/admin/api_keys.ts";
import { addBackupRoutes } from "./routes/admin/backups.ts";
import { addBaseModelRoutes } from "./routes/base_models.ts";
import { addCheckpointUploadRoutes } from "./routes/checkpoint_uploads.ts";
import { addMeasurementRoutes } from "./routes/measurements.ts";
import { addDescribed, type Api, jsonContent, newApi, openRoute } from "./routes/describe.ts";
import { addExportRoutes } from "./routes/exports.ts";
import { addFileRoutes } from "./routes/files.ts";
import { addHealthRoutes } from "./routes/health.ts";
import { addJobEventRoutes } from "./routes/events/job_events.ts";
import { addJobOutputRoutes } from "./routes/job_outputs.ts";
import { addJobRoutes } from "./routes/jobs.ts";
import { addJoinTokenRoutes } from "./routes/join_tokens.ts";
import { addJoinRoutes } from "./routes/joining.ts";
import { addMetricsRoute } from "./routes/metrics.ts";
import { addModelRoutes } from "./routes/models.ts";
import type { ApiServices } from "./routes/services.ts";
import { addUploadRoutes } from "./routes/uploads.ts";
import { addWorkerRoutes } from "./routes/workers.ts";
import { VERSION } from "../../shared/protocol/release.ts";
import { httpMetrics } from "../metrics/http_metrics.ts";
import { auditChanges } from "./transport/audit.ts";
import { dataForNoBrowser, requireUser, requireWorker } from "./transport/auth.ts";
import { requireRole } from "./transport/authorize.ts";
import { errorResponse, unknownRoute } from "./transport/errors.ts";
import { knownQueryOnly } from "./transport/known_query.ts";
import { pacedBodies } from "./transport/paced_body.ts";

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
  addMeasurementRoutes,
  addJoinTokenRoutes,
  addApiKeyRoutes,
  addBackupRoutes,
  addHealthRoutes,
  addMetricsRoute,
];

/** The only one below /v1 that is not for users. */
const WORKERS_PATH = "/v1/base-models/";

/** The app over its services; `app.fetch` serves it, `app.request` tests it. */
export function createApp(services: ApiServices): Api {
  const api = newApi();
  const { onDefect, hidePaths } = services;
  api.onError((thrown, c) => errorResponse(c, thrown, onDefect, hidePaths));
  api.notFound((c) => errorResponse(c, unknownRoute(api, c), onDefect, hidePaths));

  api.use("*", httpMetrics(services.metrics, services.clock));
  api.use("*", dataForNoBrowser, pacedBodies(services.clock));

  const worker = requireWorker(services.access);
  api.use("/internal/*", worker);
  api.use(`${WORKERS_PATH}*`, worker);
  // The audit comes first: it sees what the others refuse.
  const { audit } = services;
  for (
    const check of [auditChanges(api, audit), requireUser(services), requireRole(services)]
  ) {
    api.use("/v1/*", (c, next) => c.req.path.startsWith(WORKERS_PATH) ? next() : check(c, next));
    api.use("/metrics", check);
  }

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
  addBearer(
    "apiKey",
    "A key of LORAFLEET_API_KEY, --api-key or POST /v1/api-keys; not required if none is configured",
  );
  addBearer("workerToken", "The token that a worker gets from POST /join/{token}");
  addDescribed(api, describe, (c) => c.json(openApiDocument(api), 200));
}

function openApiDocument(api: Api) {
  return api.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "lorafleet",
      version: VERSION,
      description: "Fine-tuning with QLoRA on a fleet of workers, in the form of OpenAI's fine-tuning API",
    },
  });
}
