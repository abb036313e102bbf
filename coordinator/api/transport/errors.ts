/** Every error of the API in OpenAI's one shape: `{"error": {message, type, param, code}}`. */
import { z } from "@hono/zod-openapi";
import type { Context, Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { type ErrorCode, LoraFleetError } from "../../../shared/errors.ts";
import { explainInput } from "../../job_request/errors.ts";
import { QuotaError } from "../../jobs/record/owner.ts";
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

/** An error at the level of HTTP, apart from the meaning of the request. */
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

/** The answer to anything thrown; `onDefect` receives what is not the fault of the request. */
export function errorResponse(
  c: Context,
  thrown: unknown,
  onDefect: (message: string, thrown: unknown) => void,
  hidePaths: (text: string) => string,
): Response {
  const error = httpErrorOf(thrown, hidePaths);
  const { status, headers } = error;
  if (status >= 500) onDefect(`${c.req.method} ${c.req.path}`, thrown);
  // The openai package retries on these, but here a conflict or a used-up quota does not resolve itself.
  if (status === 409 || status === 429) c.header("x-should-retry", "false");
  if (status === 401) c.header("www-authenticate", "Bearer");
  for (const [name, value] of Object.entries(headers)) c.header(name, value);
  return c.json(errorBody(error), status);
}

/** The answer outside the app; anything but an `HttpError` is a 500. */
export function plainErrorResponse(thrown: unknown): Response {
  const error = thrown instanceof HttpError ? thrown : internalError();
  return Response.json(errorBody(error), { status: error.status, headers: error.headers });
}

function httpErrorOf(thrown: unknown, hidePaths: (text: string) => string): HttpError {
  if (thrown instanceof HttpError) return thrown;
  if (thrown instanceof LoraFleetError) {
    const { code, message, param } = thrown;
    if (thrown instanceof FileTooLargeError) return new HttpError(413, "file_too_large", message, param);
    if (thrown instanceof QuotaError) return new HttpError(429, "quota_exceeded", message, param);
    if (thrown instanceof DamagedFileError) return new HttpError(500, code, message, param);
    return new HttpError(STATUS_OF_CODE[code], code, hidePaths(message), param);
  }
  if (!(thrown instanceof HTTPException)) return internalError();
  return thrown.getResponse().status === 415
    ? new HttpError(415, "unsupported_media_type", thrown.message)
    : new HttpError(400, "invalid_request", thrown.message);
}

/** What was thrown may quote paths and secrets, so it belongs in the log alone. */
function internalError(): HttpError {
  return new HttpError(500, "internal_error", "an internal error of lorafleet; see the coordinator's log");
}

function errorBody({ status, code, message, param }: HttpError): z.output<typeof errorSchema> {
  const type = status >= 500 ? "server_error" : "invalid_request_error";
  return { error: { message, type, param, code } };
}

/** Routes of OpenAI's API that lorafleet does not have. */
const OPENAI_ONLY = new RegExp(
  "^/v1/(?:fine_tuning/(?:checkpoints|alpha)/|" +
    "(?:assistants|audio|batches|chat|completions|containers|conversations|embeddings|evals|images|moderations|realtime|" +
    "responses|threads|vector_stores|videos)(?:/|$))",
);

/** 405 if the path exists with other methods, else 404. */
export function unknownRoute(app: Pick<Hono, "router">, c: Context): HttpError {
  const methodsOf = (path: string) =>
    ["GET", "POST", "PUT", "DELETE"].filter((method) =>
      // Each match is [[handler, route], parameters]; middleware has the method ALL.
      app.router.match(method, path)[0].some(([[, route]]) => route.method === method)
    );
  const allowed = methodsOf(c.req.path);
  if (allowed.length === 0) {
    const hint = OPENAI_ONLY.test(c.req.path)
      ? ": OpenAI's API has it, but lorafleet does not; GET /openapi.json lists all routes"
      : methodsOf(`/v1${c.req.path}`).length > 0
      ? `: it is /v1${c.req.path}; a client's base URL ends with /v1`
      : "; GET /openapi.json lists all routes";
    return new HttpError(404, "unknown_url", `unknown request URL: ${c.req.method} ${c.req.path}${hint}`);
  }
  if (allowed.includes("GET")) allowed.unshift("HEAD");
  const message = `${c.req.path} does not accept ${c.req.method}: use ${allowed.join(" or ")}`;
  return new HttpError(405, "method_not_allowed", message, null, { allow: allowed.join(", ") });
}

/** The first issue as an invalid request that names the field and its value. */
export function invalidInput(error: z.ZodError, where: string, input: unknown): LoraFleetError {
  return explainInput(error, input, `${where} `);
}
