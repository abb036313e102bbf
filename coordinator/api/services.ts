/** What the route files share: the services behind them, the app they add to, and the pieces of its description. */
import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { RouteConfig } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { Clock } from "../../shared/clock.ts";
import type { ParsedJobRequest } from "../job_request/parse.ts";
import type { Access } from "../access/access.ts";
import type { ArtifactStore } from "../storage/artifact_store.ts";
import type { FileStore } from "../jobs/files/file_store.ts";
import type { Fleet } from "../fleet/fleet.ts";
import type { HidePaths } from "./hidden_paths.ts";
import type { JobService } from "../jobs/job_service.ts";
import type { ModelRegistry } from "../base_models/registry.ts";
import type { JobStore } from "../jobs/stores/job_store.ts";
import type { UploadStore } from "../jobs/files/upload_store.ts";
import { errorSchema, invalidInput } from "./transport/errors.ts";

/** Where a worker finds the fleet. */
export interface FleetAddresses {
  readonly natsUrl: string;
  readonly httpUrl: string;
  readonly coordinatorId: string;
}

/** What a worker gets for its join token. */
export interface JoinReply extends FleetAddresses {
  /** Empty where the broker knows the worker by its token and key, or asks for nothing. */
  readonly natsUser: string;
  readonly natsPassword: string;
  readonly natsTakesToken: boolean;
  /** The authority that has signed the broker's certificate, where no system knows it. */
  readonly natsTlsCa?: string;
  /** Signed for the worker's key: its bearer token here, and who it is at a broker that takes it. */
  readonly token: string;
  /** It has to ask for the next one before this time is over. */
  readonly tokenLifetimeMs: number;
}

export interface ReadinessCheck {
  readonly name: string;
  /** Null when all is well. */
  readonly problem: string | null;
}

/** Everything that the API stands on. */
export interface ApiServices {
  readonly jobs: JobService;
  readonly store: JobStore;
  readonly files: FileStore;
  readonly uploads: UploadStore;
  readonly artifacts: ArtifactStore;
  readonly models: ModelRegistry;
  readonly fleet: Fleet;
  readonly clock: Clock;
  /** Parses the body of a request for a job. Throws a `LoraFleetError` that names the field. */
  readonly parseJobRequest: (body: unknown) => ParsedJobRequest;
  /** Keys of users; empty: no key is asked for, and only programs on this machine are served. */
  readonly apiKeys: readonly string[];
  /** Join tokens and workers' credentials. */
  readonly access: Access;
  /** How long the token of a join URL lets workers in unless told; null: for ever. */
  readonly joinTokenTtlMs: number | null;
  /** `requestUrl` is the address that the worker itself used: it leads to this coordinator. */
  readonly addresses: (requestUrl: URL) => Omit<JoinReply, "token" | "tokenLifetimeMs">;
  readonly readiness: () => Promise<readonly ReadinessCheck[]>;
  readonly maxUploadBytes: number;
  /** Ends streams that would otherwise wait for more. */
  readonly stopping: AbortSignal;
  /** For texts that leave the coordinator. */
  readonly hidePaths: HidePaths;
  readonly onDefect: (message: string, thrown: unknown) => void;
}

export type Api = OpenAPIHono;

/** An app whose parameters are checked, with our errors. */
export function newApi(): Api {
  return new OpenAPIHono({
    defaultHook: (result) => {
      if (!result.success) {
        throw invalidInput(result.error, result.target === "query" ? "query parameter" : "path parameter");
      }
    },
  });
}

/**
 * Adds a route that reads its body or writes its answer itself, as a stream; `route` describes it and checks nothing.
 * `pattern` replaces the path that follows from the description, where a parameter holds slashes.
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

/** A parameter of the path, which the router has matched. */
export function pathParameter(c: Context, name: string): string {
  return c.req.param(name) ?? "";
}

/** The description of a JSON answer. */
export function jsonContent<T extends z.ZodType>(schema: T, description: string) {
  return { description, content: { "application/json": { schema } } };
}

/** The description of a file's bytes. */
export function bytesContent(description: string) {
  const schema = z.string().openapi({ format: "binary" });
  return { description, content: { "application/octet-stream": { schema } } };
}

/** Every route may answer so. */
export const errorAnswers = { default: jsonContent(errorSchema, "An error") };

export const userSecurity = [{ apiKey: [] }];
export const workerSecurity = [{ workerToken: [] }];

export const idParameter = z.object({ id: z.string() });

/** The query of a paged list. */
export function pageQuery(defaultLimit: number, maxLimit: number) {
  return z.object({
    after: z.string().optional().transform((after) => after === "" ? undefined : after).openapi({
      type: "string",
      description: "The id of the last item of the page before, deleted or not; empty: the first page",
    }),
    limit: z.coerce.number().int().min(1).max(maxLimit).default(defaultLimit),
  });
}
