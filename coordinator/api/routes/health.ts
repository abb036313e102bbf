/** `/healthz` and `/readyz`: whether the coordinator is alive and whether it can work. */
import { z } from "@hono/zod-openapi";
import { type Api, jsonContent, openRoute } from "./describe.ts";
import type { ApiServices } from "./services.ts";

const healthSchema = z.object({ status: z.literal("ok") });
const health = openRoute("get", "/healthz", "health", {
  summary: "Whether the process answers",
  responses: { 200: jsonContent(healthSchema, "It does") },
});

const readinessSchema = z.object({
  status: z.enum(["ready", "not_ready"]),
  checks: z.record(z.string(), z.string()),
});
const ready = openRoute("get", "/readyz", "readiness", {
  summary: "Whether everything that jobs need is available",
  responses: {
    200: jsonContent(readinessSchema, "It is"),
    503: jsonContent(readinessSchema, "Something is not, and why"),
  },
});

export function addHealthRoutes(api: Api, { readiness, hidePaths }: ApiServices): void {
  api.openapi(health, (c) => c.json({ status: "ok" as const }, 200));

  api.openapi(ready, async (c) => {
    const found = await readiness();
    const checks = Object.fromEntries(
      found.map(({ name, problem }) => [name, problem === null ? "ok" : hidePaths(problem)]),
    );
    return found.every(({ problem }) => problem === null)
      ? c.json({ status: "ready" as const, checks }, 200)
      : c.json({ status: "not_ready" as const, checks }, 503);
  });
}
