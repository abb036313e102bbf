/** Refuses methods and hosts that no `Request` can be made of, before authentication. */
import { quote } from "../../../shared/errors.ts";
import { HttpError } from "./errors.ts";

/** Methods that a `Request` may have. */
export const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
/** Methods of our routes. */
const SERVED_METHODS = "GET, HEAD, POST, PUT, DELETE";

/** For TRACE and TRACK, which `fetch` forbids, and for texts that are not methods, such as "get": methods are upper case. */
export function methodError(method: string): HttpError {
  const message = `${quote(method)} is not a method of this server: use ${SERVED_METHODS}`;
  return new HttpError(405, "method_not_allowed", message, null, { allow: SERVED_METHODS });
}

/** The method in a request line; null if the text does not begin with one. */
export function methodOf(text: string): string | null {
  return /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}) \S+ HTTP\/1\.[01]\r?\n/.exec(text)?.[1] ?? null;
}

/** The request's URL. Throws an `HttpError`: 405 for its method, 400 for its host or target. */
export function assertRequestLine(
  method: string,
  host: string | undefined,
  target: string,
  isTls: boolean,
): URL {
  if (!METHODS.includes(method)) throw methodError(method);
  const scheme = isTls ? "https" : "http";
  // Clients of a proxy send the whole URL as the target.
  const text = /^https?:\/\//i.test(target) ? target : `${scheme}://${host ?? ""}${target}`;
  const isHost = /^(?:[\w.-]+|\[[0-9a-fA-F:.%]+\])(?::[0-9]{1,5})?$/.test(host ?? "");
  const url = isHost && URL.canParse(text) ? new URL(text) : null;
  if (url !== null && url.host !== "") return url;
  const message = `the header "Host" is ${quote(host ?? "")}: a name or an address is needed, with a port ` +
    "up to 65535 or none";
  throw new HttpError(400, "invalid_host", message);
}
