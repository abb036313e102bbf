/** `/v1/models` and `/v1/workers`: what there is to train, and with what. */
import { createRoute, z } from "@hono/zod-openapi";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { addDescribed, errorAnswers, jsonContent, pathParameter, userSecurity } from "./services.ts";
import type { Api, ApiServices } from "./services.ts";
import { findTunedModel } from "../jobs/results/tuned_models.ts";
import { HttpError } from "./transport/errors.ts";
import { listSchema, listView, modelSchema, seconds, workerSchema, workerView } from "./views.ts";

const BASE_MODEL_OWNER = "local";
const deletedModelSchema = z.object({ object: z.literal("model"), id: z.string(), deleted: z.literal(true) });

type ModelView = z.output<typeof modelSchema>;

/** As many finished jobs' results are listed as models. */
const MAX_FINE_TUNED_MODELS = 1000;

export function addModelRoutes(api: Api, { models, store, jobs, fleet }: ApiServices): void {
  const viewOf = (id: string, owned_by: string, createdAt: number): ModelView => (
    { object: "model", id, created: seconds(createdAt), owned_by }
  );
  const baseModels = async (): Promise<ModelView[]> =>
    (await models.list()).map(({ name, modifiedAt }) => viewOf(name, BASE_MODEL_OWNER, modifiedAt));
  const list = async (): Promise<ModelView[]> => {
    const tuned = store.jobs({ after: null, limit: MAX_FINE_TUNED_MODELS }).items.flatMap((job) =>
      job.fineTunedModel === null || job.deletedModels.includes(job.fineTunedModel)
        ? []
        : [viewOf(job.fineTunedModel, "lorafleet", job.finishedAt ?? job.createdAt)]
    );
    return [...await baseModels(), ...tuned];
  };
  const find = async (id: string): Promise<ModelView | undefined> => {
    const tuned = findTunedModel(store, id);
    if (tuned !== null) return viewOf(id, "lorafleet", tuned.createdAt);
    return (await baseModels()).find((model) => model.id === id);
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
    const found = await find(id);
    if (found !== undefined) return c.json(found, 200);
    throw noModel(id);
  }, "/v1/models/:id{.+}");

  addDescribed(api, {
    method: "delete",
    path: "/v1/models/{id}",
    operationId: "deleteModel",
    summary: "Delete a job's result or a checkpoint, with its adapter once no other name leads to it",
    security: userSecurity,
    request: { params: z.object({ id: z.string().openapi({ description: "ft:…" }) }) },
    responses: { 200: jsonContent(deletedModelSchema, "It is deleted"), ...errorAnswers },
  }, async (c) => {
    const id = pathParameter(c, "id");
    const found = await find(id);
    if (found === undefined) throw noModel(id);
    if (found.owned_by === BASE_MODEL_OWNER) {
      throw new HttpError(
        403,
        "forbidden",
        `model ${
          quote(id)
        } is a base model below the model roots: only results of jobs, "ft:…", can be deleted`,
        "model",
      );
    }
    await jobs.deleteModel(id);
    return c.json({ object: "model", id, deleted: true } satisfies z.output<typeof deletedModelSchema>, 200);
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

function noModel(id: string): LoraFleetError {
  return new LoraFleetError("model_not_found", `no model ${quote(id)}; GET /v1/models lists all`, {
    param: "model",
  });
}
