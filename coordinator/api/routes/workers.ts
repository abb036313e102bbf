/** `/v1/workers`: the fleet's workers, as users see and manage them. */
import { z } from "@hono/zod-openapi";
import { listSchema, listView } from "../views/list_view.ts";
import { workerSchema, workerView } from "../views/worker_view.ts";
import { type Api, idParameter, jsonContent, userRoute } from "./describe.ts";
import type { ApiServices } from "./services.ts";

const listWorkers = userRoute("get", "/v1/workers", "listWorkers", {
  summary: "List the fleet's workers",
  responses: { 200: jsonContent(listSchema(workerSchema), "All workers") },
});

const identity = { id: z.string(), object: z.literal("worker") };
const revokedSchema = z.object({ ...identity, revoked: z.boolean() }).openapi("RevokedWorker");
const revokeWorker = userRoute("delete", "/v1/workers/{id}", "revokeWorker", {
  summary: "Expel a worker: its token becomes invalid and its connections are closed",
  request: { params: idParameter },
  responses: { 200: jsonContent(revokedSchema, "The worker is revoked") },
});

const reinstatedSchema = z.object({ ...identity, reinstated: z.boolean() }).openapi("ReinstatedWorker");
const reinstateWorker = userRoute("post", "/v1/workers/{id}/reinstate", "reinstateWorker", {
  summary: "End a worker's quarantine, so that it gets work again",
  request: { params: idParameter },
  responses: { 200: jsonContent(reinstatedSchema, "The worker is reinstated") },
});

export function addWorkerRoutes(api: Api, { access, fleet }: ApiServices): void {
  api.openapi(listWorkers, (c) => c.json(listView(fleet.workers().map(workerView)), 200));

  api.openapi(revokeWorker, async (c) => {
    const { id } = c.req.valid("param");
    await access.revokeWorker(id);
    return c.json({ id, object: "worker" as const, revoked: true }, 200);
  });

  api.openapi(reinstateWorker, (c) => {
    const { id } = c.req.valid("param");
    fleet.reinstate(id);
    return c.json({ id, object: "worker" as const, reinstated: true }, 200);
  });
}
