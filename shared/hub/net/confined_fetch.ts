/**
 * `fetch` for a server that is trusted with its own files only. It may redirect us, as hubs do for large files, but not to
 * private addresses, not out of TLS, and without our token.
 *
 * A name that resolves to a public address here and to a private one in `fetch` gets through: `fetch` takes no address
 * besides the name.
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { LoraFleetError, quote } from "../../errors.ts";
import { isPrivateAddress } from "./private_address.ts";

interface ConfinedFetchOptions {
  /** The operator's choice, and therefore always allowed; if it is private, so may its mirrors be. */
  readonly endpoint: string;
  readonly fetch?: typeof fetch;
  /** The addresses of a name. */
  readonly resolve?: (hostname: string) => Promise<readonly string[]>;
}

const MAX_REDIRECTS = 10;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

const systemResolve = async (hostname: string): Promise<readonly string[]> =>
  (await lookup(hostname, { all: true })).map(({ address }) => address);

/** Throws `invalid_request` for a forbidden address. */
export function createConfinedFetch(options: ConfinedFetchOptions): typeof fetch {
  const { fetch: plainFetch = fetch, resolve = systemResolve } = options;
  const home = new URL(options.endpoint);

  const isPrivate = async (hostname: string): Promise<boolean> => {
    const bare = hostname.replace(/^\[(.*)\]$/, "$1");
    const addresses = isIP(bare) === 0 ? await resolve(bare) : [bare];
    return addresses.length === 0 || addresses.some(isPrivateAddress);
  };

  async function assertAllowed(url: URL): Promise<void> {
    if (url.origin === home.origin) return;
    const refuse = (why: string) => {
      const message = `${home.origin} redirects to ${quote(url.origin)}, ${why}; only redirects to public ` +
        "servers are followed";
      throw new LoraFleetError("invalid_request", message, { param: "HF_ENDPOINT" });
    };
    if (url.protocol !== "https:" && url.protocol !== home.protocol) {
      refuse(`which is not ${home.protocol}//`);
    }
    if (url.protocol !== "https:" && url.protocol !== "http:") refuse("which is not a web address");
    if (await isPrivate(url.hostname) && !await isPrivate(home.hostname)) refuse("a private address");
  }

  return async (input, init) => {
    const first = new Request(input, init);
    let request = first;
    for (let count = 0; count <= MAX_REDIRECTS; count++) {
      const url = new URL(request.url);
      await assertAllowed(url);
      const response = await plainFetch(request, { redirect: "manual" });
      const location = response.headers.get("location");
      if (!REDIRECTS.has(response.status) || location === null) return response;
      await response.body?.cancel();
      request = redirected(first, new URL(location, url), url);
    }
    const message = `${quote(first.url)} redirects more than ${MAX_REDIRECTS} times`;
    throw new LoraFleetError("invalid_request", message);
  };
}

/** The next request. Only requests without a body are redirected, and secrets stay with the origin they were meant for. */
function redirected(first: Request, to: URL, from: URL): Request {
  if (first.method !== "GET" && first.method !== "HEAD") {
    const message = `${quote(from.origin)} redirects a ${first.method}, which has a body`;
    throw new LoraFleetError("invalid_request", message);
  }
  const headers = new Headers(first.headers);
  if (to.origin !== new URL(first.url).origin) {
    for (const secret of ["authorization", "cookie"]) headers.delete(secret);
  }
  return new Request(to, { method: first.method, headers, signal: first.signal });
}
