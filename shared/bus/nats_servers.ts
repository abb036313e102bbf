/** The addresses of a broker as every NATS client takes them: one URL, or the URLs of a cluster's servers with commas between. */

/** How a broker is reached, without secrets in its addresses. */
export interface NatsServers {
  readonly url: string;
  readonly user: string | null;
  readonly password: string | null;
}

export function splitServers(servers: string): string[] {
  return servers.split(",").map((server) => server.trim()).filter((server) => server !== "");
}

/** The client reads no credentials from addresses, and they must not appear in a log. They count for all servers. */
export function withoutCredentials(servers: string): NatsServers {
  let user: string | null = null;
  let password: string | null = null;
  const bare = splitServers(servers).map((server) => {
    const { protocol, host, pathname, username, password: secret } = new URL(server);
    if (username !== "" && user === null) {
      [user, password] = [decodeURIComponent(username), decodeURIComponent(secret)];
    }
    return `${protocol}//${host}${pathname === "/" ? "" : pathname}`;
  });
  return { url: bare.join(","), user, password };
}

/**
 * The list without blanks and final slashes; a text with what is wrong about it otherwise. All servers are reached in the same
 * way: a client that falls back from TLS to plain text, or from one user to none, would do so when a server is away.
 */
export function checkServers(
  text: string,
  protocols: readonly string[],
): { readonly servers: string } | { readonly problem: string } {
  const servers = splitServers(text).map((server) => server.replace(/\/+$/, ""));
  const beginnings = protocols.map((protocol) => `${protocol}//`).join(" or ");
  const needed = `a URL that begins with ${beginnings} is needed, or several with commas between`;
  const urls = servers.map((server) => URL.parse(server));
  const wrong = urls.findIndex((url) =>
    url === null || !protocols.includes(url.protocol) || url.hostname === ""
  );
  if (servers.length === 0) return { problem: needed };
  if (wrong >= 0) {
    return {
      problem: servers.length === 1 ? needed : `${JSON.stringify(servers[wrong])} in it is none: ${needed}`,
    };
  }
  const ways = new Set(urls.map((url) => url!.protocol));
  if (ways.size > 1) {
    return {
      problem: `it mixes ${[...ways].map((way) => `${way}//`).join(" and ")}; all servers need the same`,
    };
  }
  const users = new Set(
    urls.filter((url) => url!.username !== "").map((url) => `${url!.username}:${url!.password}`),
  );
  if (users.size > 1) return { problem: "its servers name different users; one user counts for all of them" };
  return { servers: servers.join(",") };
}
