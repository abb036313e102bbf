/** For those who watch the coordinator: is it alive, can it work. */
import { createRoute, z } from "@hono/zod-openapi";
import { errorAnswers, jsonContent } from "./services.ts";
import type { Api, ApiServices } from "./services.ts";

const readinessSchema = z.object({
  status: z.enum(["ready", "not_ready"]),
  checks: z.record(z.string(), z.string()),
});

export function addHealthRoutes(api: Api, { readiness }: ApiServices): void {
  api.openapi(
    createRoute({
      method: "get",
      path: "/healthz",
      operationId: "health",
      summary: "Whether the process answers",
      responses: { 200: jsonContent(z.object({ status: z.literal("ok") }), "It does"), ...errorAnswers },
    }),
    (c) => c.json({ status: "ok" as const }, 200),
  );

  api.openapi(
    createRoute({
      method: "get",
      path: "/readyz",
      operationId: "readiness",
      summary: "Whether everything that jobs need can be reached",
      responses: {
        200: jsonContent(readinessSchema, "It can"),
        503: jsonContent(readinessSchema, "Something cannot, and why"),
        ...errorAnswers,
      },
    }),
    async (c) => {
      const found = await readiness();
      const checks = Object.fromEntries(found.map(({ name, problem }) => [name, problem ?? "ok"]));
      return found.every(({ problem }) => problem === null)
        ? c.json({ status: "ready" as const, checks }, 200)
        : c.json({ status: "not_ready" as const, checks }, 503);
    },
  );
}
