/** Every error of the API in OpenAI's one shape: `{"error": {message, type, param, code}}`. */
import { z } from "@hono/zod-openapi";
import type { Context, Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import type { ErrorCode } from "../../../shared/errors.ts";
import { FileTooLargeError } from "../../storage/streamed_file.ts";
import { DamagedFileError } from "../../storage/verified_file.ts";

export const errorSchema = z.object({
  error: z.object({
    message: z.string(),
    type: z.enum(["invalid_request_error", "server_error"]),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
}).openapi("Error");

/** What is wrong with a request as HTTP sees it, before anybody looked at its meaning. */
export class HttpError extends Error {
  readonly status: ContentfulStatusCode;
  readonly code: string;
  readonly param: string | null;
  readonly headers: Record<string, string>;

  constructor(
    status: ContentfulStatusCode,
    code: string,
    message: string,
    param: string | null = null,
    headers: Record<string, string> = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
    this.headers = headers;
  }
}

const INTERNAL_ERROR_MESSAGE = "lorafleet itself has failed; the coordinator's log says how";

const STATUS_OF_CODE: Record<ErrorCode, ContentfulStatusCode> = {
  usage: 400,
  invalid_request: 400,
  invalid_dataset: 400,
  invalid_model: 400,
  model_not_found: 404,
  not_found: 404,
  conflict: 409,
  unauthorized: 401,
  no_gpu: 503,
  does_not_fit: 400,
  missing_dependency: 500,
  port_in_use: 500,
  storage: 507,
  corrupt: 400,
  gpu_failure: 500,
  timeout: 504,
  aborted: 503,
};

/** The answer to whatever was thrown; `onDefect` is told of what is no fault of the request. */
export function errorResponse(
  c: Context,
  thrown: unknown,
  onDefect: (message: string, thrown: unknown) => void,
  hidePaths: (text: string) => string,
): Response {
  if (thrown instanceof HttpError) {
    return reply(c, thrown.status, thrown.code, thrown.message, thrown.param, thrown.headers);
  }
  if (thrown instanceof FileTooLargeError) {
    return reply(c, 413, "file_too_large", thrown.message, thrown.param);
  }
  if (thrown instanceof DamagedFileError) {
    onDefect(`${c.req.method} ${c.req.path}`, thrown);
    return reply(c, 500, thrown.code, thrown.message, thrown.param);
  }
  if (thrown instanceof LoraFleetError) {
    const status = STATUS_OF_CODE[thrown.code];
    if (status >= 500) onDefect(`${c.req.method} ${c.req.path}`, thrown);
    return reply(c, status, thrown.code, hidePaths(thrown.message), thrown.param);
  }
  if (thrown instanceof HTTPException) {
    const status = thrown.getResponse().status === 415 ? 415 : 400;
    return reply(
      c,
      status,
      status === 415 ? "unsupported_media_type" : "invalid_request",
      thrown.message,
      null,
    );
  }
  onDefect(`${c.req.method} ${c.req.path}`, thrown);
  // What went wrong inside is for the log; it may hold paths and secrets.
  return reply(c, 500, "internal_error", INTERNAL_ERROR_MESSAGE, null);
}

/** The answer where no context of the application is there; what is thrown by anything else than a request is a 500. */
export function plainErrorResponse(thrown: unknown): Response {
  const error = thrown instanceof HttpError
    ? thrown
    : new HttpError(500, "internal_error", INTERNAL_ERROR_MESSAGE);
  return Response.json(errorBody(error.status, error.code, error.message, error.param), {
    status: error.status,
    headers: error.headers,
  });
}

function errorBody(
  status: number,
  code: string,
  message: string,
  param: string | null,
): z.output<typeof errorSchema> {
  const type = status >= 500 ? "server_error" : "invalid_request_error";
  return { error: { message, type, param, code } };
}

function reply(
  c: Context,
  status: ContentfulStatusCode,
  code: string,
  message: string,
  param: string | null,
  headers: Record<string, string> = {},
): Response {
  // The openai package repeats a request that got 409; here a conflict does not go away by itself.
  if (status === 409) c.header("x-should-retry", "false");
  if (status === 401) c.header("www-authenticate", "Bearer");
  for (const [name, value] of Object.entries(headers)) c.header(name, value);
  return c.json(errorBody(status, code, message, param), status);
}

/** Of OpenAI's API, which its clients may ask for. */
const OPENAI_ONLY = new RegExp(
  "^/v1/(?:fine_tuning/(?:checkpoints|alpha)/|" +
    "(?:assistants|audio|batches|chat|completions|containers|conversations|embeddings|evals|images|moderations|realtime|" +
    "responses|threads|vector_stores|videos)(?:/|$))",
);

/** 405 where the path is known with other methods, else 404. */
export function unknownRoute(app: Pick<Hono, "router">, c: Context): HttpError {
  const methodsOf = (path: string) =>
    ["GET", "POST", "PUT", "DELETE"].filter((method) =>
      // Each match is [[handler, route], parameters]; middleware has the method ALL.
      app.router.match(method, path)[0].some(([[, route]]) => route.method === method)
    );
  const allowed = methodsOf(c.req.path);
  if (allowed.length === 0) {
    const hint = OPENAI_ONLY.test(c.req.path)
      ? ": OpenAI's API has it, and it is not offered here; GET /openapi.json lists what is"
      : methodsOf(`/v1${c.req.path}`).length > 0
      ? `: it is /v1${c.req.path}; a client's base URL ends with /v1`
      : "; GET /openapi.json lists what is offered";
    return new HttpError(404, "unknown_url", `unknown request URL: ${c.req.method} ${c.req.path}${hint}`);
  }
  if (allowed.includes("GET")) allowed.unshift("HEAD");
  return new HttpError(
    405,
    "method_not_allowed",
    `${c.req.method} is not possible on ${c.req.path}: use ${allowed.join(" or ")}`,
    null,
    { allow: allowed.join(", ") },
  );
}

/** The first problem that zod found, as an invalid request that names the field. */
export function invalidInput(error: z.ZodError, where: string): LoraFleetError {
  const issue = error.issues[0]!;
  const path = issue.path.map(String).join(".");
  return new LoraFleetError("invalid_request", `${where} ${quote(path)}: ${issue.message}`, { param: path });
}
