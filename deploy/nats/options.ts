/** The command line of `deno task nats`. */
import { resolve } from "@std/path";
import { parseArgs } from "node:util";
import { LoraFleetError, messageOf, quote, usage } from "../../shared/errors.ts";
import type { ClusterServer } from "./server_config.ts";

export interface NatsTaskOptions {
  readonly servers: readonly ClusterServer[];
  readonly leafs: readonly ClusterServer[];
  /** The leaf node that the coordinator connects to; null: it connects to the servers. */
  readonly coordinatorLeaf: ClusterServer | null;
  /** Of the servers' JetStream; null: none, as nobody asks for it from behind a leaf node. */
  readonly domain: string | null;
  /** Where the files are written. */
  readonly outFolder: string;
  /** Where they lie on the servers' machines; `{name}` stands for the server's name. */
  readonly configFolder: string;
  readonly storeFolder: string;
  readonly isEncrypted: boolean;
}

export const USAGE = `Usage: deno task nats --server <host[:port]> … [options]

Writes everything that a NATS cluster for a fleet needs (docs/nats.md): keys, a configuration for each server, certificates,
and what the coordinator is started with. With the keys of an earlier run in --out, writes the configurations again: for one
more server, or one more region.

  --server <host[:port]>   a server of the cluster (port 4222): three, or one for a broker of its own; may be given several times
  --leaf <host[:port]>     a server in another region, whose workers connect to it
  --coordinator-leaf <host[:port]>  a server beside the coordinator, which connects to it alone; the streams stay at the
                           servers of --server
  --domain <name>          their JetStream domain: "hub" with --coordinator-leaf, otherwise none
  --out <folder>           what is written (./nats)
  --config-folder <path>   where a server finds its files (/etc/nats); {name} stands for its name
  --store-folder <path>    where it keeps its streams (/var/lib/nats); {name} as well
  --no-tls                 without certificates: for private networks
  --help

Ports besides the client's: +2000 for the other servers, +3200 for leaf nodes, +4000 for /healthz on the machine itself.
`;

const OPTIONS = {
  "server": { type: "string", multiple: true },
  "leaf": { type: "string", multiple: true },
  "coordinator-leaf": { type: "string" },
  "domain": { type: "string" },
  "out": { type: "string" },
  "config-folder": { type: "string" },
  "store-folder": { type: "string" },
  "no-tls": { type: "boolean" },
  "help": { type: "boolean", short: "h" },
} as const;

const DEFAULT_PORT = 4222;
/** As NATS' own documents call it. */
const DEFAULT_DOMAIN = "hub";
/** So that the ports derived from it are ports, too. */
const MAX_PORT = 65535 - 4000;

/** Null for --help. Throws `usage`. */
export function parseOptions(args: readonly string[]): NatsTaskOptions | null {
  const values = read(args);
  if (values.help === true) return null;
  const list = (given: readonly string[] = []) =>
    given.flatMap((text) => text.split(",")).map((text) => text.trim());
  const servers = list(values.server).map((text, index) => serverOf(text, "server", `server-${index + 1}`));
  const leafs = list(values.leaf).map((text, index) => serverOf(text, "leaf", `leaf-${index + 1}`));
  if (servers.length === 0) throw usage("server", "--server is missing: three hosts make a cluster");
  if (servers.length === 2 || servers.length === 4) {
    const message =
      `--server is given ${servers.length} times; a majority must run, so that ${servers.length} servers bear ` +
      `no more losses than ${servers.length - 1}: 1, 3 or 5 are needed`;
    throw usage("server", message);
  }
  if (servers.length > 5) {
    throw usage("server", `--server is given ${servers.length} times; 1, 3 or 5 are needed`);
  }
  const beside = values["coordinator-leaf"];
  const coordinatorLeaf = beside === undefined
    ? null
    : serverOf(beside, "coordinator-leaf", "leaf-coordinator");
  const all = [...servers, ...leafs, ...coordinatorLeaf === null ? [] : [coordinatorLeaf]];
  const addresses = all.map(({ host, port }) => `${host}:${port}`);
  const twice = addresses.find((address, index) => addresses.indexOf(address) < index);
  if (twice !== undefined) throw usage("server", `${quote(twice)} is given twice`);
  return {
    ...{ servers, leafs, coordinatorLeaf },
    domain: domainOf(values.domain) ?? (coordinatorLeaf === null ? null : DEFAULT_DOMAIN),
    outFolder: resolve(values.out ?? "nats"),
    configFolder: values["config-folder"] ?? "/etc/nats",
    storeFolder: values["store-folder"] ?? "/var/lib/nats",
    isEncrypted: values["no-tls"] !== true,
  };
}

function read(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch (thrown) {
    throw new LoraFleetError("usage", messageOf(thrown), { cause: thrown });
  }
}

/** One word of a subject. */
function domainOf(text: string | undefined): string | null {
  if (text === undefined) return null;
  if (/^[\w-]+$/.test(text)) return text;
  throw usage("domain", `--domain is ${quote(text)}; a name of letters, digits, "-" and "_" is needed`);
}

function serverOf(text: string, option: string, name: string): ClusterServer {
  const url = text.includes("://") ? null : URL.parse(`nats://${text}`);
  const port = url?.port === "" ? DEFAULT_PORT : Number(url?.port);
  if (url !== null && url.hostname !== "" && url.pathname === "" && url.username === "" && port <= MAX_PORT) {
    return { name, host: url.hostname.replace(/^\[(.*)\]$/, "$1"), port };
  }
  throw usage(
    option,
    `--${option} is ${quote(text)}; a host, or host:port with a port up to ${MAX_PORT}, is needed`,
  );
}
