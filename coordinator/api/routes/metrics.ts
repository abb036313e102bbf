/** `/metrics`: for Prometheus, which shows an API key as any user does. */
import { addDescribed, type Api, userRoute } from "./describe.ts";
import type { ApiServices } from "./services.ts";

const route = userRoute("get", "/metrics", "metrics", {
  summary: "The coordinator's metrics in Prometheus' text format",
  responses: { 200: { description: "All metrics", content: { "text/plain": {} } } },
});

export function addMetricsRoute(api: Api, { metrics }: ApiServices): void {
  addDescribed(api, route, async (c) => {
    return c.body(await metrics.text(), 200, { "content-type": metrics.contentType });
  });
}
