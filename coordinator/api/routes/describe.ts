/** What the route files share: the app that they add to, and the pieces of its description. */
import { createRoute, OpenAPIHono, type RouteConfig, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { errorSchema, invalidInput } from "../transport/errors.ts";

export type Api = OpenAPIHono;

/** An app that validates parameters and answers with the API's errors. */
export function newApi(): Api {
  return new OpenAPIHono({
    defaultHook: (result, c) => {
      if (result.success) return;
      if (result.target === "query") throw invalidInput(result.error, "query parameter", c.req.query());
      throw invalidInput(result.error, "path parameter", c.req.param());
    },
  });
}

type Method = "get" | "post" | "put" | "delete";
type Details = Pick<RouteConfig, "summary" | "description" | "request" | "responses">;

/** Any route may also answer with an error. */
const routesWith =
  (security: Pick<RouteConfig, "security">) =>
  <M extends Method, P extends string, D extends Details>(
    method: M,
    path: P,
    operationId: string,
    details: D,
  ): D & { readonly method: M; readonly path: P } => {
    const responses = { ...details.responses, default: jsonContent(errorSchema, "An error") };
    return createRoute({ ...details, ...security, method, path, operationId, responses });
  };

export const openRoute = routesWith({});
/** For users, who show their API key. */
export const userRoute = routesWith({ security: [{ apiKey: [] }] });
/** For workers, who show their token. */
export const workerRoute = routesWith({ security: [{ workerToken: [] }] });

/**
 * Adds a route that reads its body or writes its answer itself, as a stream; `route` is only its description. `pattern`
 * replaces the description's path if a parameter may contain slashes.
 */
export function addDescribed(
  api: Api,
  route: RouteConfig,
  handler: (c: Context) => Response | Promise<Response>,
  pattern: string = route.path.replaceAll(/\{(.+?)\}/g, ":$1"),
): void {
  api.openAPIRegistry.registerPath(route);
  api.on([route.method], [pattern], handler);
}

/** A parameter of the matched path. */
export function pathParameter(c: Context, name: string): string {
  return c.req.param(name) ?? "";
}

/** Describes a JSON answer. */
export function jsonContent<T extends z.ZodType>(schema: T, description: string) {
  return { description, content: { "application/json": { schema } } };
}

/** Describes an answer of a file's bytes. */
export function bytesContent(description: string) {
  const schema = z.string().openapi({ format: "binary" });
  return { description, content: { "application/octet-stream": { schema } } };
}

/** The description of a request's JSON body. */
export function jsonBody<T extends z.ZodType>(schema: T) {
  return { required: true, content: { "application/json": { schema } } };
}

export const idParameter = z.object({ id: z.string() });

/** The query of a paged list. */
export function pageQuery(defaultLimit: number, maxLimit: number) {
  return z.object({
    after: z.string().optional().transform((after) => after === "" ? undefined : after).openapi({
      type: "string",
      description: "The id of the previous page's last item, deleted or not; empty: the first page",
    }),
    limit: z.coerce.number().int().min(1).max(maxLimit).default(defaultLimit),
  });
}
