/** `/v1/fine_tuning/jobs/{id}/`: checkpoints, and the files of their adapters. */
import { z } from "@hono/zod-openapi";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import type { CheckpointRecord } from "../../jobs/stores/job_store.ts";
import { DamagedFileError } from "../../storage/verified_file.ts";
import { invalidInput } from "../transport/errors.ts";
import { serveFile } from "../transport/serve_file.ts";
import { artifactSchema, artifactViews, checkpointSchema, checkpointView } from "../views/checkpoint_view.ts";
import { listSchema, listView, pageView } from "../views/list_view.ts";
import {
  addDescribed,
  bytesContent,
  idParameter,
  jsonContent,
  pageQuery,
  pathParameter,
  userRoute,
} from "./describe.ts";
import type { Api } from "./describe.ts";
import type { ApiServices } from "./services.ts";

const stepQuery = z.object({
  step: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional().openapi({
    description: "Default: the newest checkpoint",
  }),
});

const listCheckpoints = userRoute(
  "get",
  "/v1/fine_tuning/jobs/{id}/checkpoints",
  "listFineTuningCheckpoints",
  {
    summary: "List checkpoints, newest first",
    request: { params: idParameter, query: pageQuery(10, 1000) },
    responses: { 200: jsonContent(listSchema(checkpointSchema), "A page of checkpoints") },
  },
);

const listArtifacts = userRoute("get", "/v1/fine_tuning/jobs/{id}/artifacts", "listArtifacts", {
  summary: "List the adapter's files of a checkpoint",
  request: { params: idParameter, query: stepQuery },
  responses: { 200: jsonContent(listSchema(artifactSchema), "The files") },
});

const downloadArtifact = userRoute("get", "/v1/fine_tuning/jobs/{id}/artifacts/{name}", "downloadArtifact", {
  summary: "Download a file of the adapter",
  request: { params: idParameter.extend({ name: z.string() }), query: stepQuery },
  responses: { 200: bytesContent("The file's bytes") },
});

export function addJobOutputRoutes(api: Api, services: ApiServices): void {
  const { jobs, store } = services;

  api.openapi(listCheckpoints, (c) => {
    const job = jobs.get(c.req.valid("param").id);
    const { after, limit } = c.req.valid("query");
    const page = store.checkpoints(job.id, { after: after ?? null, limit });
    return c.json(pageView(page, (checkpoint) => checkpointView(checkpoint, job)), 200);
  });

  api.openapi(listArtifacts, (c) => {
    const { id } = jobs.get(c.req.valid("param").id);
    const checkpoint = recordedCheckpoint(services, id, c.req.valid("query").step);
    return c.json(listView(checkpoint === null ? [] : artifactViews(checkpoint)), 200);
  });

  addDescribed(api, downloadArtifact, async (c) => {
    const { id } = jobs.get(pathParameter(c, "id"));
    const name = pathParameter(c, "name");
    const query = stepQuery.safeParse(c.req.query());
    if (!query.success) throw invalidInput(query.error, "query parameter", c.req.query());
    return await serveFile(c.req.raw, await findArtifact(services, id, name, query.data.step));
  });
}

/** Throws `not_found`, or `DamagedFileError` if the bytes on the disk are not the recorded ones. */
async function findArtifact(services: ApiServices, jobId: string, name: string, step: number | undefined) {
  const checkpoint = recordedCheckpoint(services, jobId, step);
  const file = checkpoint?.files.find((stored) => stored.name === name);
  if (checkpoint === null || file === undefined) {
    const what = checkpoint === null && step === undefined
      ? "no artifacts yet"
      : `no file ${quote(name)} of step ${step ?? checkpoint?.step}`;
    throw new LoraFleetError("not_found", `job ${quote(jobId)} has ${what}`, { param: "name" });
  }
  const path = await services.artifacts.path(jobId, checkpoint.step, file).catch((thrown) => {
    if (!(thrown instanceof DamagedFileError)) throw thrown;
    const isRequested = services.fleet.checkpointDamaged(jobId, checkpoint.step);
    const remedy = isRequested
      ? "a worker that still holds that step will store it again; try again in a moment"
      : "no worker holds that step any longer; use a different checkpoint of the job, or restore the file from a backup";
    throw new DamagedFileError(`${quote(name)} of step ${checkpoint.step}`, remedy);
  });
  return { ...file, path, filename: name };
}

/** The recorded checkpoint of a step, or the newest; null if there is none. Unrecorded files on the disk do not count. */
function recordedCheckpoint(
  { store }: ApiServices,
  jobId: string,
  step: number | undefined,
): CheckpointRecord | null {
  const query = { after: null, limit: step === undefined ? 1 : Number.MAX_SAFE_INTEGER };
  const { items } = store.checkpoints(jobId, query);
  return (step === undefined ? items[0] : items.find((checkpoint) => checkpoint.step === step)) ?? null;
}
