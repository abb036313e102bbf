/** Authentication: API keys for users, signed tokens for workers; without a configured key this machine needs none. */
import type { Context, MiddlewareHandler } from "hono";
import { LoraFleetError } from "../../../shared/errors.ts";
import type { Access } from "../../access/access.ts";
import { type ApiKeys, type Caller, NO_QUOTAS } from "../../access/api_keys.ts";
import { HttpError } from "./errors.ts";
import { equalSecrets } from "../../access/secrets.ts";

/** The token of `Authorization: Bearer`, or the empty text, which is never a secret. */
export function bearerOf(c: Context): string {
  return /^Bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "")?.[1] ?? "";
}

declare module "hono" {
  interface ContextVariableMap {
    /** Who asks: set for every route of users. */
    caller: Caller;
  }
}

interface Keys {
  /** The operator's. */
  readonly configuredKeys: readonly string[];
  readonly apiKeys: Pick<ApiKeys, "identify">;
  /** Of whoever may read the data folder. */
  readonly folderKey: string;
}

/** What programs on this machine, and configured keys, may do: everything. */
const admin = (name: string): Caller => ({ keyId: null, name, role: "admin", quotas: NO_QUOTAS });

/**
 * Finds who asks: the holder of a configured key, or of one that was made here. Without a configured key, programs on this
 * machine need none. Throws `unauthorized`, or 403 for another machine or a web page.
 */
export function requireUser(keys: Keys): MiddlewareHandler {
  return async (c, next) => {
    c.set("caller", callerOf(c, keys));
    await next();
  };
}

function callerOf(c: Context, { configuredKeys: configured, apiKeys, folderKey }: Keys): Caller {
  const token = bearerOf(c);
  const known = token === "" ? null : apiKeys.identify(token);
  if (known !== null) return known;
  if (token !== "" && equalSecrets(token, folderKey)) return admin("the data folder");
  if (configured.length === 0) {
    assertLocalCaller(c);
    return admin("this machine");
  }
  if (token === "") throw missing("API key");
  const index = configured.findIndex((key) => equalSecrets(token, key));
  if (index >= 0) return admin(configured.length === 1 ? "configured" : `configured ${index + 1}`);
  const message = `the API key in the header "Authorization" is not one of the coordinator's, which ` +
    "are set by LORAFLEET_API_KEY or --api-key, or made by deno task keys";
  throw new LoraFleetError("unauthorized", message);
}

/** Requires the token that a worker got when it joined. */
export function requireWorker(access: Pick<Access, "identify">): MiddlewareHandler {
  return async (c, next) => {
    const token = bearerOf(c);
    if (token === "") throw missing("worker's token");
    access.identify(token);
    await next();
  };
}

function missing(what: string): LoraFleetError {
  return new LoraFleetError("unauthorized", `no ${what}: send it in the header "Authorization: Bearer …"`);
}

/**
 * Without API keys the server listens only on the loopback interface. A web page in a browser on this machine could still
 * reach it, by a name of its own that resolves to 127.0.0.1 or by a form that needs no permission.
 */
function assertLocalCaller(c: Context): void {
  const { hostname, origin: own } = new URL(c.req.url);
  const origin = c.req.header("origin");
  const isLocal = hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
  if (isLocal && (origin === undefined || origin === own)) return;
  const message = "without an API key only programs on this machine may use the API, not web pages of " +
    "other sites; start the coordinator with --api-key";
  throw new HttpError(403, "forbidden", message);
}

/** All answers are data, possibly from strangers: a browser must not run, sniff or frame them. */
export const dataForNoBrowser: MiddlewareHandler = async (c, next) => {
  await next();
  c.header("x-content-type-options", "nosniff");
  c.header("referrer-policy", "no-referrer");
  if (!c.res.headers.has("content-security-policy")) {
    c.header("content-security-policy", "default-src 'none'; frame-ancestors 'none'");
  }
};
