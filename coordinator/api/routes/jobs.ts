/** `/v1/fine_tuning/jobs`: create, list, describe, cancel, pause, resume. */
import { z } from "@hono/zod-openapi";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import {
  datasetSchema,
  fleetSchema,
  loraSchema,
  quantizationSchema,
  trainingSchema,
} from "../../../shared/job/job_spec_schema.ts";
import type { MetadataFilter } from "../../jobs/stores/job_store.ts";
import { ownerFor } from "../transport/authorize.ts";
import { readJson } from "../transport/bodies.ts";
import { idempotencyHeader, keyedRequest } from "../transport/idempotency.ts";
import { dryRunQuery, dryRunQuestion, dryRunSchema, dryRunView } from "../views/dry_run_view.ts";
import { jobSchema, jobView } from "../views/job_view.ts";
import { listSchema, pageView } from "../views/list_view.ts";
import { addDescribed, idParameter, jsonBody, jsonContent, pageQuery, userRoute } from "./describe.ts";
import type { Api } from "./describe.ts";
import type { ApiServices } from "./services.ts";

const MAX_BODY_BYTES = 2 ** 20;

const number = z.union([z.literal("auto"), z.number()]).optional();
const hyperparameters = z.object({ n_epochs: number, batch_size: number, learning_rate_multiplier: number });

const trackingFields = {
  report_to: z.union([z.string(), z.array(z.string())]).optional().openapi({
    description: 'Trackers: "tensorboard", "mlflow", "wandb", "jsonl", a list of them, "all" or "none"',
  }),
  run_name: z.string().max(128).optional(),
  logging_dir: z.string().optional().openapi({
    description: "A folder below the coordinator's folder of runs",
  }),
  logging_strategy: z.enum(["no", "steps", "epoch"]).optional(),
  logging_first_step: z.boolean().optional(),
};

/** Only describes the body: `parseJobRequest` parses it and knows the defaults. */
const requestSchema = z.object({
  model: z.string().min(1).openapi({
    description:
      "A folder below a model root, org/name[@revision] on the hub, or ft:…, an earlier job's result or checkpoint " +
      "to train on from",
  }),
  training_file: z.string().min(1).optional().openapi({
    description: "The id of an uploaded file; without it dataset.path names a dataset on the hub",
  }),
  validation_file: z.string().optional().openapi({
    description: "Accepted, but not evaluated while training",
  }),
  seed: z.int().optional(),
  suffix: z.string().max(64).optional(),
  metadata: z.record(z.string(), z.string()).optional(),
  integrations: z.array(z.object({
    type: z.literal("wandb"),
    wandb: z.object({
      project: z.string(),
      name: z.string().optional(),
      entity: z.string().optional(),
      tags: z.array(z.string()).optional(),
    }),
  })).optional(),
  hyperparameters: hyperparameters.optional(),
  method: z.object({
    type: z.literal("supervised"),
    supervised: z.object({ hyperparameters: hyperparameters.optional() }).optional(),
  })
    .optional(),
  lora: loraSchema.partial().optional(),
  quantization: quantizationSchema.partial().optional(),
  training: trainingSchema.partial().extend(trackingFields).optional(),
  dataset: datasetSchema.partial().optional(),
  fleet: fleetSchema.partial().optional(),
}).openapi("CreateFineTuningJob");

const jobsQuery = pageQuery(20, 1000).extend({
  metadata: z.union([z.enum(["null", ""]), z.record(z.string(), z.string())]).optional().openapi({
    param: { style: "deepObject", explode: true },
    description: "metadata[k]=v once for each required pair; metadata=null: jobs without metadata",
  }),
});

/** OpenAI's `metadata[k]=v` and `metadata=null`; undefined if there is neither. */
function metadataFilter(query: URLSearchParams): MetadataFilter | undefined {
  const pairs = [...query].flatMap(([name, value]) => {
    const key = /^metadata\[(.*)\]$/s.exec(name)?.[1];
    return key === undefined ? [] : [[key, value] as const];
  });
  const whole = query.get("metadata");
  if (whole !== null && (pairs.length > 0 || (whole !== "null" && whole !== ""))) {
    const message = `metadata is ${quote(whole)}: metadata[key]=value filters by a pair, metadata=null ` +
      "alone finds jobs without any";
    throw new LoraFleetError("invalid_request", message, { param: "metadata" });
  }
  if (whole !== null) return null;
  return pairs.length === 0 ? undefined : Object.fromEntries(pairs);
}

const createJob = userRoute("post", "/v1/fine_tuning/jobs", "createFineTuningJob", {
  summary: "Submit a job, or with dry_run=true see what it would do",
  request: { body: jsonBody(requestSchema), query: dryRunQuery, headers: idempotencyHeader },
  responses: {
    200: jsonContent(
      z.union([jobSchema, dryRunSchema]),
      "The job, whose data is now prepared; or the dry run",
    ),
  },
});

const listJobs = userRoute("get", "/v1/fine_tuning/jobs", "listFineTuningJobs", {
  summary: "List jobs, newest first",
  request: { query: jobsQuery },
  responses: { 200: jsonContent(listSchema(jobSchema), "A page of jobs") },
});

const retrieveJob = userRoute("get", "/v1/fine_tuning/jobs/{id}", "retrieveFineTuningJob", {
  summary: "Describe a job",
  request: { params: idParameter },
  responses: { 200: jsonContent(jobSchema, "The job") },
});

const ACTIONS = [
  ["cancel", "Cancel an unfinished job", "The cancelled job"],
  ["pause", "Interrupt a job and let others go first", "The paused job"],
  ["resume", "Queue a paused job again; it continues if workers still hold its state", "The queued job"],
] as const;

export function addJobRoutes(api: Api, { jobs, store, room, runDry, parseJobRequest }: ApiServices): void {
  addDescribed(api, createJob, async (c) => {
    const question = dryRunQuestion(new URL(c.req.url).searchParams);
    const body = await readJson(c, MAX_BODY_BYTES);
    const request = parseJobRequest(body);
    if (question !== null) return c.json(dryRunView(await runDry(request, question, c.req.raw.signal)), 200);
    const owner = ownerFor(c);
    await room.assertRoomFor(0, "a job");
    return c.json(jobView(await jobs.create(request, keyedRequest(c, body, owner?.id), owner)), 200);
  });

  api.openapi(listJobs, (c) => {
    const { after, limit } = c.req.valid("query");
    const metadata = metadataFilter(new URL(c.req.url).searchParams);
    const filter = metadata === undefined ? {} : { metadata };
    return c.json(pageView(store.jobs({ after: after ?? null, limit, ...filter }), jobView), 200);
  });

  api.openapi(retrieveJob, (c) => c.json(jobView(jobs.get(c.req.valid("param").id)), 200));

  for (const [action, summary, answer] of ACTIONS) {
    const route = userRoute("post", `/v1/fine_tuning/jobs/{id}/${action}`, `${action}FineTuningJob`, {
      summary,
      request: { params: idParameter },
      responses: { 200: jsonContent(jobSchema, answer) },
    });
    api.openapi(route, (c) => c.json(jobView(jobs[action](c.req.valid("param").id)), 200));
  }
}
