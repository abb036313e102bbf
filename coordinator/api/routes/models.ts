/** `/v1/models`: base models, and the results of jobs. */
import { z } from "@hono/zod-openapi";
import { quote } from "../../../shared/errors.ts";
import { findTunedModel, noModel } from "../../jobs/results/tuned_models.ts";
import { HttpError } from "../transport/errors.ts";
import { listSchema, listView, seconds, timestamp } from "../views/list_view.ts";
import { addDescribed, type Api, jsonContent, pathParameter, userRoute } from "./describe.ts";
import type { ApiServices } from "./services.ts";

const BASE_MODEL_OWNER = "local";
const TUNED_MODEL_OWNER = "lorafleet";

/** How many of the newest jobs' results are listed. */
const MAX_TUNED_MODELS = 1000;

const modelSchema = z.object({
  object: z.literal("model"),
  id: z.string(),
  created: timestamp,
  owned_by: z.string(),
}).openapi("Model");
type ModelView = z.output<typeof modelSchema>;

/** A model's name may contain slashes. */
const PATTERN = "/v1/models/:id{.+}";

const listModels = userRoute("get", "/v1/models", "listModels", {
  summary: "List base models below the model roots, and the results of jobs",
  responses: { 200: jsonContent(listSchema(modelSchema), "All models") },
});

const retrieveModel = userRoute("get", "/v1/models/{id}", "retrieveModel", {
  summary: "Describe a model",
  request: { params: z.object({ id: z.string().openapi({ description: "May contain slashes" }) }) },
  responses: { 200: jsonContent(modelSchema, "The model") },
});

const deletedSchema = z.object({ object: z.literal("model"), id: z.string(), deleted: z.literal(true) });
const deleteModel = userRoute("delete", "/v1/models/{id}", "deleteModel", {
  summary: "Delete a job's result or a checkpoint, and its adapter once it has no other name",
  request: { params: z.object({ id: z.string().openapi({ description: "ft:…" }) }) },
  responses: { 200: jsonContent(deletedSchema, "The model is deleted") },
});

export function addModelRoutes(api: Api, services: ApiServices): void {
  api.openapi(listModels, async (c) => {
    const models = [...await baseModels(services), ...newestTunedModels(services)];
    return c.json(listView(models), 200);
  });

  addDescribed(api, retrieveModel, async (c) => {
    return c.json(await findModel(services, pathParameter(c, "id")), 200);
  }, PATTERN);

  addDescribed(api, deleteModel, async (c) => {
    const id = pathParameter(c, "id");
    const { owned_by } = await findModel(services, id);
    if (owned_by === BASE_MODEL_OWNER) {
      const why = `model ${quote(id)} is a base model below the model roots`;
      const message = `${why}: only results of jobs, "ft:…", can be deleted`;
      throw new HttpError(403, "forbidden", message, "model");
    }
    await services.jobs.deleteModel(id);
    return c.json({ object: "model", id, deleted: true } satisfies z.output<typeof deletedSchema>, 200);
  }, PATTERN);
}

/** Throws `model_not_found`. */
async function findModel(services: ApiServices, id: string): Promise<ModelView> {
  const tuned = findTunedModel(services.store, id);
  if (tuned !== null) return modelView(id, TUNED_MODEL_OWNER, tuned.createdAt);
  const base = (await baseModels(services)).find((model) => model.id === id);
  if (base === undefined) throw noModel(id);
  return base;
}

async function baseModels({ models }: ApiServices): Promise<ModelView[]> {
  return (await models.list()).map(({ name, modifiedAt }) => modelView(name, BASE_MODEL_OWNER, modifiedAt));
}

function newestTunedModels({ store }: ApiServices): ModelView[] {
  return store.jobs({ after: null, limit: MAX_TUNED_MODELS }).items.flatMap((job) =>
    job.fineTunedModel === null || job.deletedModels.includes(job.fineTunedModel)
      ? []
      : [modelView(job.fineTunedModel, TUNED_MODEL_OWNER, job.finishedAt ?? job.createdAt)]
  );
}

function modelView(id: string, owned_by: string, createdAt: number): ModelView {
  return { object: "model", id, created: seconds(createdAt), owned_by };
}
