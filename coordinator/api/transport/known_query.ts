/** Refuses unknown query parameters: an ignored filter would return more than the client requested. */
import type { OpenAPIHono, RouteConfig } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import { z } from "zod";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { nearestName } from "../../../shared/std/nearest_name.ts";

/** Parameters that are objects: `name[key]=value`. */
const DEEP_OBJECTS = ["metadata"];

/** Refuses unknown and repeated query parameters of all routes that `api` has by the first request. */
export function knownQueryOnly(api: OpenAPIHono): MiddlewareHandler {
  let known: ReadonlyMap<string, readonly string[]> | null = null;
  return async (c, next) => {
    const { searchParams } = new URL(c.req.url);
    if (searchParams.size > 0) {
      known ??= namesByRoute(api);
      const method = c.req.method === "HEAD" ? "GET" : c.req.method;
      const [matches] = api.router.match(method, c.req.path);
      const route = matches.map(([[, route]]) => route).findLast((route) => route.method === method);
      const names = route === undefined ? undefined : known.get(keyOf(method, route.path));
      if (names !== undefined) assertKnown([...searchParams.keys()], names, `${method} ${route!.path}`);
    }
    await next();
  };
}

function assertKnown(given: readonly string[], names: readonly string[], route: string): void {
  given.forEach((name, index) => {
    const isDeep = DEEP_OBJECTS.some((deep) =>
      names.includes(deep) && name.startsWith(`${deep}[`) && name.endsWith("]")
    );
    if (!isDeep && !names.includes(name)) {
      const nearest = nearestName(name, names);
      const right = nearest !== null
        ? `did you mean ${quote(nearest)}?`
        : names.length === 0
        ? `${route} takes none`
        : `${route} takes ${names.map(quote).join(", ")}`;
      const message = `unknown query parameter ${quote(name)}; ${right}`;
      throw new LoraFleetError("invalid_request", message, { param: name });
    }
    if (given.indexOf(name) !== index) {
      const message = `query parameter ${quote(name)} is repeated; give it once`;
      throw new LoraFleetError("invalid_request", message, { param: name });
    }
  });
}

function namesByRoute(api: OpenAPIHono): Map<string, readonly string[]> {
  const routes = api.openAPIRegistry.definitions.filter((definition) => definition.type === "route")
    .map((definition) => definition.route as RouteConfig);
  return new Map(routes.map((route) => {
    const query = route.request?.query;
    return [
      keyOf(route.method.toUpperCase(), route.path.replaceAll(/\{(.+?)\}/g, ":$1")),
      query instanceof z.ZodObject ? Object.keys(query.shape) : [],
    ];
  }));
}

/** A path's parameter may have a pattern, which the description does not have. */
function keyOf(method: string, path: string): string {
  return `${method} ${path.replaceAll(/(:\w+)\{.+?\}/g, "$1")}`;
}
