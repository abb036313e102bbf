/**
 * `fetch` for a server that is trusted with its own files and nothing else: it may send us elsewhere, as hubs do for large
 * files, but not to private addresses, not out of TLS, and without our token.
 *
 * A name that is public when it is looked up and private when it is connected to gets through: fetch takes no address beside
 * the name.
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { isPrivateAddress } from "./private_address.ts";

export interface ConfinedFetchOptions {
  /** Whoever runs the coordinator has chosen it: wherever it lies, it is asked, and where it is private, so may its mirrors be. */
  readonly endpoint: string;
  readonly fetch?: typeof fetch;
  /** The addresses of a name. */
  readonly resolve?: (hostname: string) => Promise<readonly string[]>;
}

const MAX_REDIRECTS = 10;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

const systemResolve = async (hostname: string): Promise<readonly string[]> =>
  (await lookup(hostname, { all: true })).map(({ address }) => address);

/** Throws a `LoraFleetError` with code `invalid_request` for an address that is not to be asked. */
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
      throw new LoraFleetError(
        "invalid_request",
        `${home.origin} leads to ${quote(url.origin)}, ${why}; only public servers are asked on its word`,
        { param: "HF_ENDPOINT" },
      );
    };
    if (url.protocol !== "https:" && url.protocol !== home.protocol) {
      refuse(`which is not ${home.protocol}//`);
    }
    if (url.protocol !== "https:" && url.protocol !== "http:") refuse("which is no web address");
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
    throw new LoraFleetError(
      "invalid_request",
      `${quote(first.url)} leads on ${MAX_REDIRECTS} times without an end`,
    );
  };
}

/** The next request: only such as have no body are sent on, and a token goes nowhere but where it was meant to go. */
function redirected(first: Request, to: URL, from: URL): Request {
  if (first.method !== "GET" && first.method !== "HEAD") {
    throw new LoraFleetError(
      "invalid_request",
      `${quote(from.origin)} wants a ${first.method} sent on elsewhere`,
    );
  }
  const headers = new Headers(first.headers);
  if (to.origin !== new URL(first.url).origin) {
    for (const secret of ["authorization", "cookie"]) headers.delete(secret);
  }
  return new Request(to, { method: first.method, headers, signal: first.signal });
}
