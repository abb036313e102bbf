/** The addresses by which others reach the coordinator, which may differ from those it listens on. */
import type { CoordinatorConfig } from "../config/config.ts";
import type { JoinReply } from "../api/views/join_view.ts";
import type { Tls } from "../config/tls.ts";

/** The URL of a server here. If it listens on every interface: by the first address that other machines can reach. */
export function ownAddress(
  scheme: "http" | "https",
  host: string,
  port: number,
  interfaces = Deno.networkInterfaces,
): string {
  if (host !== "0.0.0.0" && host !== "::") return `${scheme}://${inUrl(host)}:${port}`;
  const outer = interfaces().find(({ family, address }) => family === "IPv4" && !address.startsWith("127."));
  return `${scheme}://${outer?.address ?? "127.0.0.1"}:${port}`;
}

/**
 * The broker's address for workers. Our own broker runs on the API's machine, so the host by which a worker reached the API
 * leads to it as well. `ownPort` is null for a foreign broker, whose URL may hold credentials.
 */
export function brokerForWorkers(
  config: Pick<CoordinatorConfig, "natsUrl" | "natsPublicUrl" | "publicUrl">,
  ownPort: number | null,
  tls: Pick<Tls, "ca"> | null,
): (
  requestUrl: URL,
) => Pick<JoinReply, "natsUrl" | "natsUser" | "natsPassword" | "natsTakesToken" | "natsTlsCa"> {
  if (ownPort !== null) {
    return (requestUrl) => {
      const { hostname } = config.publicUrl === null ? requestUrl : new URL(config.publicUrl);
      return {
        natsUrl: config.natsPublicUrl ?? `${tls === null ? "nats" : "tls"}://${hostname}:${ownPort}`,
        natsUser: "",
        natsPassword: "",
        natsTakesToken: true,
        ...(tls === null || tls.ca === null ? {} : { natsTlsCa: tls.ca }),
      };
    };
  }
  const url = new URL(config.natsPublicUrl ?? config.natsUrl!);
  const [natsUser, natsPassword] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
  const natsUrl = `${url.protocol}//${url.host}${url.pathname === "/" ? "" : url.pathname}`;
  return () => ({ natsUrl, natsUser, natsPassword, natsTakesToken: false });
}

function inUrl(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
