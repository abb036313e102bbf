/** `/v1/fine_tuning/jobs/{id}/events`: pages of events, or all of them as they come. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { LoraFleetError, quote } from "../../../../shared/errors.ts";
import { isFinished } from "../../../jobs/record/job.ts";
import { unknownPlace } from "../../../jobs/stores/job_store.ts";
import { invalidInput } from "../../transport/errors.ts";
import { eventNumberOf, eventSchema, eventView } from "../../views/event_view.ts";
import { listSchema, pageView } from "../../views/list_view.ts";
import { addDescribed, type Api, idParameter, pageQuery, pathParameter, userRoute } from "../describe.ts";
import { createEventFeeds, type EventFeeds } from "./event_feed.ts";
import { openEventStream } from "./event_stream.ts";
import type { ApiServices } from "../services.ts";

const eventsQuery = pageQuery(20, 1000).extend({
  stream: z.enum(["true", "false"]).default("false").openapi({
    description: "Server-sent events, as with the header Accept: text/event-stream",
  }),
});

const listEvents = userRoute("get", "/v1/fine_tuning/jobs/{id}/events", "listFineTuningEvents", {
  summary: "List events, newest first, or follow them as they come",
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
        // A schema describes a whole body; a stream has events, each with a FineTuningJobEvent as its data.
        "text/event-stream": { schema: z.unknown() },
      },
    },
    204: { description: "The job has finished and no event follows Last-Event-ID" },
  },
});

export function addJobEventRoutes(api: Api, services: ApiServices): void {
  const feeds = createEventFeeds(services);
  addDescribed(api, listEvents, (c) => {
    const { id } = services.jobs.get(pathParameter(c, "id"));
    const query = eventsQuery.safeParse(c.req.query());
    if (!query.success) throw invalidInput(query.error, "query parameter", c.req.query());
    const { stream, limit, after } = query.data;
    if (stream === "true" || (c.req.header("accept") ?? "").includes("text/event-stream")) {
      return streamEvents(c, id, c.req.header("last-event-id") ?? after, { ...services, feeds });
    }
    return c.json(pageView(eventPage(services, id, after, limit), eventView), 200);
  });
}

function eventPage({ store }: ApiServices, jobId: string, after: string | undefined, limit: number) {
  const newest = after === undefined ? null : numberOf(after);
  if (newest !== null && store.eventsSince(jobId, newest - 1, 1)[0]?.number !== newest) {
    throw unknownPlace(after!);
  }
  return store.events(jobId, { after: newest, limit });
}

function streamEvents(
  c: Context,
  jobId: string,
  after: string | undefined,
  services: ApiServices & { readonly feeds: EventFeeds },
): Response {
  const { jobs, store } = services;
  const newest = after === undefined ? 0 : numberOf(after);
  // An EventSource that gets 204 stops reconnecting.
  const isOver = newest > 0 && isFinished(jobs.get(jobId).status);
  if (isOver && store.eventsSince(jobId, newest, 1).length === 0) return c.body(null, 204);
  return c.body(openEventStream(jobId, newest, services), 200, {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
  });
}

function numberOf(id: string): number {
  const number = eventNumberOf(id);
  if (number !== null) return number;
  throw new LoraFleetError("invalid_request", `${quote(id)} is not the id of an event`, { param: "after" });
}
