/** `/internal/exports/{id}/measurement`: what the worker that measures a merge fetches, and where it hands the numbers in. */
import { z } from "@hono/zod-openapi";
import { measureOutcomeSchema, measureTaskSchema } from "../../../shared/protocol/messages_measure.ts";
import { bearerOf } from "../transport/auth.ts";
import { readObject } from "../transport/bodies.ts";
import { serveFile } from "../transport/serve_file.ts";
import {
  addDescribed,
  type Api,
  bytesContent,
  idParameter,
  jsonBody,
  jsonContent,
  pathParameter,
  workerRoute,
} from "./describe.ts";
import type { ApiServices } from "./services.ts";

const PATH = "/internal/exports/{id}/measurement";

const retrieveTask = workerRoute("get", PATH, "retrieveMeasurement", {
  summary: "The merge that this worker is asked to measure",
  request: { params: idParameter },
  responses: { 200: jsonContent(measureTaskSchema, "The task") },
});

const downloadFile = workerRoute("get", `${PATH}/files/{name}`, "downloadMeasurementFile", {
  summary: "A file of the adapter, or the rows",
  request: {
    params: idParameter.extend({ name: z.string() }),
    headers: z.object({ range: z.string().optional() }),
  },
  responses: { 200: bytesContent("The file's bytes"), 206: bytesContent("A range of them") },
});

const handIn = workerRoute("put", PATH, "finishMeasurement", {
  summary: "Hand in the numbers, or why there are none",
  request: { params: idParameter, body: jsonBody(measureOutcomeSchema) },
  responses: { 200: jsonContent(z.object({ received: z.literal(true) }), "They are stored") },
});

export function addMeasurementRoutes(api: Api, { exports: { measurer }, access }: ApiServices): void {
  addDescribed(api, retrieveTask, async (c) => {
    const { worker } = access.identify(bearerOf(c));
    return c.json(await measurer.task(worker, pathParameter(c, "id")), 200);
  });

  addDescribed(api, downloadFile, async (c) => {
    const { worker } = access.identify(bearerOf(c));
    const file = await measurer.file(worker, pathParameter(c, "id"), pathParameter(c, "name"));
    return await serveFile(c.req.raw, file);
  });

  addDescribed(api, handIn, async (c) => {
    const { worker } = access.identify(bearerOf(c));
    const outcome = await readObject(c, measureOutcomeSchema);
    await measurer.finish(worker, pathParameter(c, "id"), outcome);
    return c.json({ received: true as const }, 200);
  });
}
