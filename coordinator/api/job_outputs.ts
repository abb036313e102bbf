/** What a job gives: `/v1/fine_tuning/jobs/{id}/` events, checkpoints and artifacts. */
import { createRoute, z } from "@hono/zod-openapi";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { isFinished } from "../jobs/record/job.ts";
import { unknownPlace } from "../jobs/stores/job_store.ts";
import type { CheckpointRecord } from "../jobs/stores/job_store.ts";
import { DamagedFileError } from "../storage/verified_file.ts";
import {
  addDescribed,
  bytesContent,
  errorAnswers,
  idParameter,
  jsonContent,
  pageQuery,
  pathParameter,
} from "./services.ts";
import { userSecurity } from "./services.ts";
import type { Api, ApiServices } from "./services.ts";
import { invalidInput } from "./transport/errors.ts";
import { openEventStream } from "./event_stream.ts";
import { serveFile } from "./transport/serve_file.ts";
import { artifactSchema, checkpointSchema, checkpointView, eventNumberOf, eventSchema } from "./views.ts";
import { eventView, listSchema, listView, pageView } from "./views.ts";

const eventsQuery = pageQuery(20, 1000).extend({
  stream: z.enum(["true", "false"]).default("false").openapi({
    description: "Server-sent events, as with the header Accept: text/event-stream",
  }),
});

const stepQuery = z.object({
  step: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional().openapi({
    description: "The newest checkpoint, unless told",
  }),
});

export function addJobOutputRoutes(api: Api, services: ApiServices): void {
  const { jobs, store, artifacts, fleet } = services;

  addDescribed(api, {
    method: "get",
    path: "/v1/fine_tuning/jobs/{id}/events",
    operationId: "listFineTuningEvents",
    summary: "List events, newest first, or follow them as they come",
    security: userSecurity,
    request: {
      params: idParameter,
      query: eventsQuery,
      headers: z.object({ "last-event-id": z.string().optional() }),
    },
    responses: {
      200: {
        description: "A page of events; or all of them, oldest first, until the job has finished",
        content: {
          "application/json": { schema: listSchema(eventSchema) },
          // A schema is of a whole body, which a stream has not: each event's data is a FineTuningJobEvent.
          "text/event-stream": { schema: z.unknown() },
        },
      },
      204: { description: "The job has finished and there is nothing after Last-Event-ID" },
      ...errorAnswers,
    },
  }, (c) => {
    const job = jobs.get(pathParameter(c, "id"));
    const query = eventsQuery.safeParse(c.req.query());
    if (!query.success) throw invalidInput(query.error, "query parameter");
    const { stream, limit, after } = query.data;
    if (stream === "false" && !(c.req.header("accept") ?? "").includes("text/event-stream")) {
      const newest = after === undefined ? null : numberOf(after);
      if (newest !== null && store.eventsSince(job.id, newest - 1, 1)[0]?.number !== newest) {
        throw unknownPlace(after!);
      }
      const page = store.events(job.id, { after: newest, limit });
      return c.json(pageView(page, eventView), 200);
    }
    const lastEventId = c.req.header("last-event-id") ?? after;
    const newest = lastEventId === undefined ? 0 : numberOf(lastEventId);
    // 204 is how a server tells an EventSource to stop reconnecting.
    if (newest > 0 && isFinished(job.status) && store.eventsSince(job.id, newest, 1).length === 0) {
      return c.body(null, 204);
    }
    return c.body(openEventStream(job.id, newest, services), 200, {
      "content-type": "text/event-stream",
      "cache-control": "no-cache",
      "x-accel-buffering": "no",
    });
  });

  api.openapi(
    createRoute({
      method: "get",
      path: "/v1/fine_tuning/jobs/{id}/checkpoints",
      operationId: "listFineTuningCheckpoints",
      summary: "List checkpoints, newest first",
      security: userSecurity,
      request: { params: idParameter, query: pageQuery(10, 1000) },
      responses: { 200: jsonContent(listSchema(checkpointSchema), "A page of checkpoints"), ...errorAnswers },
    }),
    (c) => {
      const job = jobs.get(c.req.valid("param").id);
      const { after, limit } = c.req.valid("query");
      const page = store.checkpoints(job.id, { after: after ?? null, limit });
      return c.json(pageView(page, (checkpoint) => checkpointView(checkpoint, job)), 200);
    },
  );

  api.openapi(
    createRoute({
      method: "get",
      path: "/v1/fine_tuning/jobs/{id}/artifacts",
      operationId: "listArtifacts",
      summary: "List the adapter's files of a checkpoint",
      security: userSecurity,
      request: { params: idParameter, query: stepQuery },
      responses: { 200: jsonContent(listSchema(artifactSchema), "The files"), ...errorAnswers },
    }),
    (c) => {
      const { id } = jobs.get(c.req.valid("param").id);
      const checkpoint = recordedCheckpoint(store, id, c.req.valid("query").step);
      const views = (checkpoint?.files ?? []).map(({ name, size, sha256 }) => ({
        object: "artifact" as const,
        id: name,
        name,
        step: checkpoint!.step,
        bytes: size,
        sha256,
        url: `/v1/fine_tuning/jobs/${id}/artifacts/${name}?step=${checkpoint!.step}`,
      }));
      return c.json(listView(views), 200);
    },
  );

  addDescribed(api, {
    method: "get",
    path: "/v1/fine_tuning/jobs/{id}/artifacts/{name}",
    operationId: "downloadArtifact",
    summary: "Download a file of the adapter",
    security: userSecurity,
    request: { params: idParameter.extend({ name: z.string() }), query: stepQuery },
    responses: { 200: bytesContent("The file's bytes"), ...errorAnswers },
  }, async (c) => {
    const { id } = jobs.get(pathParameter(c, "id"));
    const name = pathParameter(c, "name");
    const query = stepQuery.safeParse(c.req.query());
    if (!query.success) throw invalidInput(query.error, "query parameter");
    const checkpoint = recordedCheckpoint(store, id, query.data.step);
    const file = checkpoint?.files.find((stored) => stored.name === name);
    if (checkpoint === null || file === undefined) {
      const what = checkpoint === null && query.data.step === undefined
        ? "no artifacts yet"
        : `no file ${quote(name)} of step ${query.data.step ?? checkpoint?.step}`;
      throw new LoraFleetError("not_found", `job ${quote(id)} has ${what}`, { param: "name" });
    }
    const path = await artifacts.path(id, checkpoint.step, file).catch((thrown) => {
      if (!(thrown instanceof DamagedFileError)) throw thrown;
      const isAsked = fleet.checkpointDamaged(id, checkpoint.step);
      throw new DamagedFileError(
        `${quote(name)} of step ${checkpoint.step}`,
        isAsked
          ? "a worker that still has it is asked to store it again; try again in a moment"
          : "no worker has that step any more; another checkpoint of the job may be sound, or a copy of the folder",
      );
    });
    return await serveFile(c.req.raw, { ...file, path, filename: name });
  });
}

/** What the job has recorded, never what merely lies on the disk: of a step, or the newest one. Null where there is none. */
function recordedCheckpoint(
  store: ApiServices["store"],
  jobId: string,
  step: number | undefined,
): CheckpointRecord | null {
  const query = { after: null, limit: step === undefined ? 1 : Number.MAX_SAFE_INTEGER };
  const { items } = store.checkpoints(jobId, query);
  return (step === undefined ? items[0] : items.find((checkpoint) => checkpoint.step === step)) ?? null;
}

function numberOf(id: string): number {
  const number = eventNumberOf(id);
  if (number !== null) return number;
  throw new LoraFleetError("invalid_request", `${quote(id)} is not the id of an event`, { param: "after" });
}
