/** `/v1/fine_tuning/jobs`: create, list, look at, cancel, pause, resume. */
import { createRoute, z } from "@hono/zod-openapi";
import {
  datasetSchema,
  fleetSchema,
  loraSchema,
  quantizationSchema,
  trainingSchema,
} from "../../shared/job/job_spec.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import type { MetadataFilter } from "../jobs/stores/job_store.ts";
import { addDescribed, errorAnswers, idParameter, jsonContent, pageQuery, userSecurity } from "./services.ts";
import type { Api, ApiServices } from "./services.ts";
import { readJson } from "./transport/bodies.ts";
import { jobSchema, jobView, listSchema, pageView } from "./views.ts";

const MAX_BODY_BYTES = 2 ** 20;

const number = z.union([z.literal("auto"), z.number()]).optional();
const hyperparameters = z.object({ n_epochs: number, batch_size: number, learning_rate_multiplier: number });

/** For the description alone: what is sent is parsed by `parseJobRequest`, which knows the defaults. */
const requestSchema = z.object({
  model: z.string().min(1).openapi({
    description:
      "A folder below a model root, org/name[@revision] on the hub, or ft:…, the result of an earlier job or one of " +
      "its checkpoints, which is trained on from",
  }),
  training_file: z.string().min(1).openapi({ description: "The id of an uploaded file" }),
  validation_file: z.string().optional().openapi({
    description: "Accepted, and not evaluated while training",
  }),
  seed: z.int().optional(),
  suffix: z.string().max(64).optional(),
  metadata: z.record(z.string(), z.string()).optional(),
  hyperparameters: hyperparameters.optional(),
  method: z.object({
    type: z.literal("supervised"),
    supervised: z.object({ hyperparameters: hyperparameters.optional() }).optional(),
  })
    .optional(),
  lora: loraSchema.partial().optional(),
  quantization: quantizationSchema.partial().optional(),
  training: trainingSchema.partial().optional(),
  dataset: datasetSchema.partial().optional(),
  fleet: fleetSchema.partial().optional(),
}).openapi("CreateFineTuningJob");

const jobsQuery = pageQuery(20, 1000).extend({
  metadata: z.union([z.enum(["null", ""]), z.record(z.string(), z.string())]).optional().openapi({
    param: { style: "deepObject", explode: true },
    description:
      "metadata[k]=v, once for each pair that a job shall have; metadata=null: jobs without metadata",
  }),
});

/** OpenAI's `metadata[k]=v` and `metadata=null`; undefined where there is neither. */
function metadataFilter(query: URLSearchParams): MetadataFilter | undefined {
  const pairs = [...query].flatMap(([name, value]) => {
    const key = /^metadata\[(.*)\]$/s.exec(name)?.[1];
    return key === undefined ? [] : [[key, value] as const];
  });
  const whole = query.get("metadata");
  if (whole !== null && (pairs.length > 0 || (whole !== "null" && whole !== ""))) {
    throw new LoraFleetError(
      "invalid_request",
      `metadata is ${
        quote(whole)
      }: metadata[key]=value filters by a pair, metadata=null alone finds jobs without any`,
      { param: "metadata" },
    );
  }
  if (whole !== null) return null;
  return pairs.length === 0 ? undefined : Object.fromEntries(pairs);
}

export function addJobRoutes(api: Api, { jobs, store, parseJobRequest }: ApiServices): void {
  addDescribed(
    api,
    {
      method: "post",
      path: "/v1/fine_tuning/jobs",
      operationId: "createFineTuningJob",
      summary: "Submit a job",
      security: userSecurity,
      request: { body: { required: true, content: { "application/json": { schema: requestSchema } } } },
      responses: { 200: jsonContent(jobSchema, "The job, whose data is now prepared"), ...errorAnswers },
    },
    async (c) => c.json(jobView(await jobs.create(parseJobRequest(await readJson(c, MAX_BODY_BYTES)))), 200),
  );

  api.openapi(
    createRoute({
      method: "get",
      path: "/v1/fine_tuning/jobs",
      operationId: "listFineTuningJobs",
      summary: "List jobs, newest first",
      security: userSecurity,
      request: { query: jobsQuery },
      responses: { 200: jsonContent(listSchema(jobSchema), "A page of jobs"), ...errorAnswers },
    }),
    (c) => {
      const { after, limit } = c.req.valid("query");
      const metadata = metadataFilter(new URL(c.req.url).searchParams);
      return c.json(
        pageView(
          store.jobs({ after: after ?? null, limit, ...metadata === undefined ? {} : { metadata } }),
          jobView,
        ),
        200,
      );
    },
  );

  api.openapi(
    createRoute({
      method: "get",
      path: "/v1/fine_tuning/jobs/{id}",
      operationId: "retrieveFineTuningJob",
      summary: "Describe a job",
      security: userSecurity,
      request: { params: idParameter },
      responses: { 200: jsonContent(jobSchema, "The job"), ...errorAnswers },
    }),
    (c) => c.json(jobView(jobs.get(c.req.valid("param").id)), 200),
  );

  const actions = [
    ["cancel", "Cancel a job that has not finished", "The cancelled job"],
    ["pause", "Interrupt a job and let others go first", "The paused job"],
    ["resume", "Queue a paused job again; it goes on where its workers still are", "The job, queued again"],
  ] as const;
  for (const [action, summary, answer] of actions) {
    api.openapi(
      createRoute({
        method: "post",
        path: `/v1/fine_tuning/jobs/{id}/${action}`,
        operationId: `${action}FineTuningJob`,
        summary,
        security: userSecurity,
        request: { params: idParameter },
        responses: { 200: jsonContent(jobSchema, answer), ...errorAnswers },
      }),
      (c) => c.json(jobView(jobs[action](c.req.valid("param").id)), 200),
    );
  }
}
