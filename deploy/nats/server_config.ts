/** Configurations of nats-server: for each server of a cluster, and for a leaf node in another region. */
import type { BrokerAccounts } from "../../shared/bus/nats_accounts.ts";

export interface ClusterServer {
  readonly name: string;
  /** By which the other servers, the coordinator and the workers reach it. */
  readonly host: string;
  readonly port: number;
}

/** Paths as the server finds them, on its own machine. */
export interface TlsPaths {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export interface ServerConfigOptions {
  readonly accounts: BrokerAccounts;
  /** On the server's machine. */
  readonly storeFolder: string;
  /** Null: nothing is encrypted. */
  readonly tls: TlsPaths | null;
  /** Of the servers' JetStream; null: none. */
  readonly domain: string | null;
}

/** By account: a leaf node's credentials files, public keys. That of the streams is the coordinator's leaf node's alone. */
interface OfLeafAccounts {
  readonly fleet: string;
  readonly system: string;
  readonly streams?: string;
}

/** As those of the coordinator's own broker: gradients of 4 MiB and the largest micro-batch. */
const MAX_PAYLOAD_BYTES = 8 * 2 ** 20;
/** A subscriber may be behind by several gradients before it is cut off. */
const MAX_PENDING_BYTES = 256 * 2 ** 20;

/** NATS's usual ports lie so far apart: 4222 for clients, 6222 for routes, 7422 for leaf nodes, 8222 for monitoring. */
const ROUTES = 2000;
const LEAF_NODES = 3200;
const MONITORING = 4000;

export const leafPortOf = ({ port }: ClusterServer): number => port + LEAF_NODES;

/** The configuration of `server`, one of `servers`. */
export function clusterServerConfig(
  server: ClusterServer,
  servers: readonly ClusterServer[],
  publicKeys: Pick<OfLeafAccounts, "fleet">,
  options: ServerConfigOptions,
): string {
  const { storeFolder, tls, domain } = options;
  const routes = servers.map(({ host, port }) => `    nats-route://${inUrl(host)}:${port + ROUTES}`).join(
    "\n",
  );
  const cluster = servers.length === 1 ? "" : `cluster {
  name: lorafleet
  port: ${server.port + ROUTES}
  cluster_advertise: ${quoted(`${inUrl(server.host)}:${server.port + ROUTES}`)}
  routes: [
${routes}
  ]
${tlsBlock(tls, "  ", "verify: true")}}
`;
  return `${common(server, options)}
# Streams. Written through to the disk, so that a commit outlives a power cut of the whole cluster.
jetstream {
  store_dir: ${quoted(`${storeFolder}/jetstream`)}
  sync_interval: always
${domain === null ? "" : `  domain: ${quoted(domain)}\n`}}
${cluster}
# Other regions connect here.
leafnodes {
  port: ${leafPortOf(server)}
${tlsBlock(tls, "  ")}}
${leafTraffic(publicKeys)}
`;
}

/**
 * Leaf connections do not carry JetStream's subjects unless their account's streams are said to be at the other end. Workers have
 * no streams, but pull from those of the account \`streams\` by such a subject.
 */
const leafTraffic = ({ fleet }: Pick<OfLeafAccounts, "fleet">): string =>
  `default_js_domain: { ${fleet}: "" }`;

/** A server in another region: its workers connect to it, and it alone to the cluster. It has no streams of its own. */
export function leafConfig(
  leaf: ClusterServer,
  servers: readonly ClusterServer[],
  credentials: OfLeafAccounts,
  publicKeys: Required<OfLeafAccounts>,
  options: ServerConfigOptions,
): string {
  const { tls } = options;
  const scheme = tls === null ? "nats-leaf" : "tls";
  const urls = servers.map((server) => `"${scheme}://${inUrl(server.host)}:${leafPortOf(server)}"`).join(
    ", ",
  );
  const remotes = (["fleet", "system", "streams"] as const).flatMap((account) => {
    const path = credentials[account];
    return path === undefined ? [] : [`    {
      urls: [${urls}]
      account: ${publicKeys[account]}
      credentials: ${quoted(path)}
${tls === null ? "" : `      tls { ca_file: ${quoted(tls.ca)} }\n`}    }`];
  });
  return `${common(leaf, options)}
${leafTraffic(publicKeys)}
leafnodes {
  remotes: [
${remotes.join("\n")}
  ]
}
`;
}

function common(
  { name, host, port }: ClusterServer,
  { accounts, storeFolder, tls }: ServerConfigOptions,
): string {
  const tokens = [...accounts.tokens].map(([publicKey, token]) => `  ${publicKey}: ${token}`);
  return `# Written by "deno task nats". Check it with: nats-server --config <this file> -t
server_name: ${quoted(name)}
port: ${port}
# As the servers tell their clients of each other: by the names in their certificates, not by an interface's address.
client_advertise: ${quoted(`${inUrl(host)}:${port}`)}
# Health, for this machine alone: /healthz, /jsz, /routez.
http: "127.0.0.1:${port + MONITORING}"
max_payload: ${MAX_PAYLOAD_BYTES}
max_pending: ${MAX_PENDING_BYTES}
authorization { timeout: 5 }

# Who may do what. The coordinator updates the workers' account when it revokes one of them.
operator: ${accounts.operatorToken}
system_account: ${accounts.systemAccount}
resolver: { type: full, dir: ${quoted(`${storeFolder}/accounts`)}, interval: "1m" }
resolver_preload: {
${tokens.join("\n")}
}

${tlsBlock(tls, "")}`;
}

function tlsBlock(tls: TlsPaths | null, indent: string, ...more: readonly string[]): string {
  if (tls === null) return "";
  const lines = [
    `cert_file: ${quoted(tls.cert)}`,
    `key_file: ${quoted(tls.key)}`,
    `ca_file: ${quoted(tls.ca)}`,
    "timeout: 5",
    ...more,
  ];
  return `${indent}tls {\n${lines.map((line) => `${indent}  ${line}`).join("\n")}\n${indent}}\n`;
}

const quoted = (text: string): string => JSON.stringify(text);
const inUrl = (host: string): string => host.includes(":") ? `[${host}]` : host;
