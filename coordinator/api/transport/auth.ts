/** Authentication: API keys for users, signed tokens for workers; without API keys only this machine is served. */
import type { Context, MiddlewareHandler } from "hono";
import { LoraFleetError } from "../../../shared/errors.ts";
import type { Access } from "../../access/access.ts";
import { HttpError } from "./errors.ts";
import { equalSecrets } from "../../access/secrets.ts";

/** The token of `Authorization: Bearer`, or the empty text, which is never a secret. */
export function bearerOf(c: Context): string {
  return /^Bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "")?.[1] ?? "";
}

/** Requires one of the API keys. */
export function requireApiKey(keys: readonly string[]): MiddlewareHandler {
  return async (c, next) => {
    const token = bearerOf(c);
    if (token === "") throw missing("API key");
    if (!keys.some((key) => equalSecrets(token, key))) {
      const message = `the API key in the header "Authorization" is not one of the coordinator's, which ` +
        "are set by LORAFLEET_API_KEY or --api-key";
      throw new LoraFleetError("unauthorized", message);
    }
    await next();
  };
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
export function requireLocalCaller(): MiddlewareHandler {
  return async (c, next) => {
    const { hostname, origin: own } = new URL(c.req.url);
    const origin = c.req.header("origin");
    const isLocal = hostname === "localhost" || hostname === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
    if (!isLocal || (origin !== undefined && origin !== own)) {
      const message = "without an API key only programs on this machine may use the API, not web pages of " +
        "other sites; start the coordinator with --api-key";
      throw new HttpError(403, "forbidden", message);
    }
    await next();
  };
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
