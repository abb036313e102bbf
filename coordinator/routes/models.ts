/** `/v1/models` and `/v1/workers`: what there is to train, and with what. */
import { createRoute, z } from "@hono/zod-openapi";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { addDescribed, errorAnswers, jsonContent, pathParameter, userSecurity } from "./api.ts";
import type { Api, ApiServices } from "./api.ts";
import { listSchema, listView, modelSchema, workerSchema, workerView } from "./views.ts";

/** As many finished jobs' results are listed as models. */
const MAX_FINE_TUNED_MODELS = 1000;

export function addModelRoutes(api: Api, { models, store, fleet }: ApiServices): void {
  const list = async (): Promise<z.output<typeof modelSchema>[]> => {
    const local = (await models.list()).map(({ name, modifiedAt }) => ({
      object: "model" as const,
      id: name,
      created: Math.floor(modifiedAt / 1000),
      owned_by: "local",
    }));
    const tuned = store.jobs({ after: null, limit: MAX_FINE_TUNED_MODELS }).items.flatMap((job) =>
      job.fineTunedModel === null ? [] : [{
        object: "model" as const,
        id: job.fineTunedModel,
        created: Math.floor((job.finishedAt ?? job.createdAt) / 1000),
        owned_by: "lorafleet",
      }]
    );
    return [...local, ...tuned];
  };

  api.openapi(
    createRoute({
      method: "get",
      path: "/v1/models",
      operationId: "listModels",
      summary: "List base models below the model roots, and the results of jobs",
      security: userSecurity,
      responses: { 200: jsonContent(listSchema(modelSchema), "All models"), ...errorAnswers },
    }),
    async (c) => c.json(listView(await list()), 200),
  );

  addDescribed(api, {
    method: "get",
    path: "/v1/models/{id}",
    operationId: "retrieveModel",
    summary: "Describe a model",
    security: userSecurity,
    request: { params: z.object({ id: z.string().openapi({ description: "May hold slashes" }) }) },
    responses: { 200: jsonContent(modelSchema, "The model"), ...errorAnswers },
  }, async (c) => {
    const id = pathParameter(c, "id");
    const found = (await list()).find((model) => model.id === id);
    if (found !== undefined) return c.json(found, 200);
    throw new LoraFleetError("model_not_found", `no model ${quote(id)}; GET /v1/models lists all`, {
      param: "model",
    });
  }, "/v1/models/:id{.+}");

  api.openapi(
    createRoute({
      method: "get",
      path: "/v1/workers",
      operationId: "listWorkers",
      summary: "List the fleet's workers",
      security: userSecurity,
      responses: { 200: jsonContent(listSchema(workerSchema), "All workers"), ...errorAnswers },
    }),
    (c) => c.json(listView(fleet.workers().map(workerView)), 200),
  );
}
