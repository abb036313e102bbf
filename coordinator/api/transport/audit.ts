/** Writes into the audit log what users change, and what is refused to them. */
import type { OpenAPIHono, RouteConfig } from "@hono/zod-openapi";
import type { Context, MiddlewareHandler } from "hono";
import { z } from "zod";
import type { AuditLog } from "../../access/audit_log.ts";

/** Reading is not audited, but that somebody may not is. */
const REFUSED = [401, 403, 429];
/** What a made object's answer has. Larger answers come from none of these routes. */
const MAX_ANSWER_BYTES = 2 ** 20;
const madeSchema = z.looseObject({ id: z.string() });
const errorSchema = z.looseObject({ error: z.looseObject({ code: z.string() }) });

interface Operation {
  readonly name: string;
  /** The path before and after its parameters. */
  readonly before: string;
  readonly after: string;
}

/** Of all routes that `api` has by the first request. The answer waits for the line. */
export function auditChanges(api: OpenAPIHono, log: AuditLog): MiddlewareHandler {
  let operations: ReadonlyMap<string, Operation> | null = null;
  return async (c, next) => {
    await next();
    const isChange = c.req.method !== "GET" && c.req.method !== "HEAD";
    if (!isChange && !REFUSED.includes(c.res.status)) return;
    operations ??= operationsOf(api);
    const operation = operations.get(keyOf(c.req.method, patternOf(api, c)));
    const { id, code } = await answerOf(c.res);
    await log.write({
      caller: c.get("caller") ?? null,
      action: operation?.name ?? `${c.req.method} ${c.req.path}`,
      object: objectIn(c.req.path, operation) ?? id,
      status: c.res.status,
      error: code,
    });
  };
}

/** The matched route's path; "" for an unknown one. */
function patternOf(api: OpenAPIHono, c: Context): string {
  const method = c.req.method === "HEAD" ? "GET" : c.req.method;
  const [matches] = api.router.match(method, c.req.path);
  return matches.map(([[, route]]) => route).findLast((route) => route.method === method)?.path ?? "";
}

/** The path's parameters, as they are in it: an id, or "ftjob-…/exports/ftexport-…". */
function objectIn(path: string, operation: Operation | undefined): string | null {
  if (operation === undefined || operation.before.length > path.length) return null;
  const object = path.slice(operation.before.length, path.length - operation.after.length);
  return object === "" ? null : object.slice(0, 500);
}

/** The id of what was made, and the code of an error. */
async function answerOf(response: Response): Promise<{ id: string | null; code: string | null }> {
  const isJson = response.headers.get("content-type")?.startsWith("application/json") === true;
  const body: unknown = isJson && Number(response.headers.get("content-length") ?? 0) <= MAX_ANSWER_BYTES
    ? await response.clone().json().catch(() => null)
    : null;
  if (response.status < 400) return { id: madeSchema.safeParse(body).data?.id ?? null, code: null };
  return { id: null, code: errorSchema.safeParse(body).data?.error.code ?? `status ${response.status}` };
}

function operationsOf(api: OpenAPIHono): ReadonlyMap<string, Operation> {
  const routes = api.openAPIRegistry.definitions.filter((definition) => definition.type === "route")
    .map((definition) => definition.route as RouteConfig);
  return new Map(routes.map(({ method, path, operationId }) => {
    const [before = "", ...rest] = path.split(/\{.+?\}/);
    const name = operationId ?? `${method} ${path}`;
    return [keyOf(method, path.replaceAll(/\{(.+?)\}/g, ":$1")), { name, before, after: rest.at(-1) ?? "" }];
  }));
}

/** A path's parameter may have a pattern, which the description does not have. */
function keyOf(method: string, path: string): string {
  return `${method.toUpperCase()} ${path.replaceAll(/(:\w+)\{.+?\}/g, "$1")}`;
}
