/** Rate, errors and duration of the API's requests, by route. */
import type { MiddlewareHandler } from "hono";
import { matchedRoutes } from "hono/route";
import type { Clock } from "../../shared/clock.ts";
import type { Metrics } from "./registry.ts";

/** Seconds; a listing takes milliseconds, an upload minutes. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60];

/** Counts every answer. A stream's duration ends with its header: how long someone listens says nothing about the coordinator. */
export function httpMetrics(metrics: Metrics, clock: Pick<Clock, "now">): MiddlewareHandler {
  const requests = metrics.counter({
    name: "http_requests_total",
    help: "Requests answered",
    labels: ["method", "route", "status"],
  });
  const durations = metrics.histogram({
    name: "http_request_duration_seconds",
    help: "Time from a request's header to its answer's header",
    labels: ["method", "route"],
  }, BUCKETS);
  return async (c, next) => {
    const startedAt = clock.now();
    await next();
    const method = c.req.method === "HEAD" ? "GET" : c.req.method;
    // The pattern, not the path: ids would make a series each, and strangers choose the paths that match nothing.
    const route = matchedRoutes(c).findLast((route) => route.method === method)?.path ?? "none";
    const labels = { method: route === "none" ? "any" : method, route };
    requests.inc({ ...labels, status: c.res.status });
    durations.observe(labels, (clock.now() - startedAt) / 1000);
  };
}
