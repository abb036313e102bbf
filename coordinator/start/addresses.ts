/** The addresses by which others reach the coordinator, which may differ from those it listens on. */
import { withoutCredentials } from "../../shared/bus/nats_servers.ts";
import type { CoordinatorConfig } from "../config/config.ts";
import { NATS_DOOR_PATH } from "../api/transport/nats_door.ts";
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
 * leads to it as well, with one port the API's whole address. `ownPort` is null for a foreign broker, whose URL may hold credentials. `foreign` tells of that one whether
 * it knows workers by their tokens, and who signed its certificates.
 */
export function brokerForWorkers(
  config: Pick<CoordinatorConfig, "natsUrl" | "natsPublicUrl" | "natsDomain" | "publicUrl" | "onePort">,
  ownPort: number | null,
  tls: Pick<Tls, "ca"> | null,
  foreign: { readonly knowsWorkers: boolean; readonly ca: string | null } = { knowsWorkers: false, ca: null },
): (
  requestUrl: URL,
) => Pick<
  JoinReply,
  "natsUrl" | "natsUser" | "natsPassword" | "natsTakesToken" | "natsTlsCa" | "natsDomain"
> {
  if (ownPort !== null) {
    return (requestUrl) => {
      const api = config.publicUrl === null ? new URL(requestUrl.origin) : new URL(config.publicUrl);
      const inside = config.onePort
        ? webSocketUrl(api)
        : `${tls === null ? "nats" : "tls"}://${api.hostname}:${ownPort}`;
      return {
        natsUrl: config.natsPublicUrl ?? inside,
        natsUser: "",
        natsPassword: "",
        natsTakesToken: true,
        ...(tls === null || tls.ca === null ? {} : { natsTlsCa: tls.ca }),
      };
    };
  }
  const { url: natsUrl, user, password } = withoutCredentials(config.natsPublicUrl ?? config.natsUrl!);
  const [natsUser, natsPassword] = [user ?? "", password ?? ""];
  const { knowsWorkers, ca } = foreign;
  const who = knowsWorkers ? { natsUser: "", natsPassword: "" } : { natsUser, natsPassword };
  // Workers with identities of their own pull through a service of their account, which leads to the streams by itself.
  const domain = knowsWorkers || config.natsDomain === null ? {} : { natsDomain: config.natsDomain };
  const trust = ca === null ? {} : { natsTlsCa: ca };
  return () => ({ natsUrl, ...who, natsTakesToken: knowsWorkers, ...trust, ...domain });
}

function webSocketUrl({ protocol, host, pathname }: URL): string {
  return `${protocol === "https:" ? "wss" : "ws"}://${host}${pathname.replace(/\/+$/, "")}${NATS_DOOR_PATH}`;
}

function inUrl(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
