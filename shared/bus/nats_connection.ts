/** One connection to a broker: where it is, who we are there, and that it comes back for ever. */
import { isIP } from "node:net";
import { credsAuthenticator, jwtAuthenticator } from "@nats-io/transport-node";
import type { ConnectionOptions, NatsConnection, TlsOptions } from "@nats-io/transport-node";
import { quote } from "../errors.ts";
import { toLoraFleetError } from "./nats_errors.ts";
import type { NatsIdentity } from "./nats_keys.ts";
import { connectToNats } from "./nats_transport.ts";

export interface NatsConnectionOptions {
  /** One or more addresses: `nats://`, `tls://`, `ws://`, `wss://`, or `host:port`. */
  readonly servers: string | readonly string[];
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
  /** The content of a `.creds` file (JWT and NKey). */
  readonly credentials?: Uint8Array;
  /** Who we are at a broker that knows its clients by signed tokens (decision 0010). */
  readonly identity?: NatsIdentity;
  /** Below which subject answers come to this client; `_INBOX`. */
  readonly inboxPrefix?: string;
  /** Certificates of the authorities that may have signed the broker's, as PEM; the system's where it is left out. */
  readonly tlsCa?: string;
  /** The name that the broker's certificate has to hold; the address's host where it is left out. */
  readonly tlsServerName?: string;
  /** Shows up in the server's monitoring. */
  readonly name: string;
  /** Wait for a broker that is not up yet, instead of rejecting. */
  readonly waitOnFirstConnect?: boolean;
}

const RECONNECT_WAIT_MS = 500;
const FIRST_CONNECT_TIMEOUT_MS = 10_000;
/** A peer that does not answer pings for two of these is gone: a cable was pulled, a machine sleeps. */
const PING_INTERVAL_MS = 5000;

/** Rejects with code `unauthorized` or `timeout` where the first connection fails. */
export async function openConnection(options: NatsConnectionOptions): Promise<NatsConnection> {
  const { servers, user, pass, token, credentials, identity, inboxPrefix, tlsCa, name } = options;
  const list = typeof servers === "string" ? [servers] : [...servers];
  const connection: ConnectionOptions = {
    servers: list,
    name,
    reconnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    // A broker that restarts with other passwords refuses twice and takes the client later, or never: the owner of
    // the bus decides when to ask for new ones.
    ignoreAuthErrorAbort: true,
    waitOnFirstConnect: options.waitOnFirstConnect ?? false,
    timeout: FIRST_CONNECT_TIMEOUT_MS,
    pingInterval: PING_INTERVAL_MS,
    noAsyncTraces: true,
  };
  if (user !== undefined) connection.user = user;
  if (pass !== undefined) connection.pass = pass;
  if (token !== undefined) connection.token = token;
  if (credentials !== undefined) connection.authenticator = credsAuthenticator(credentials);
  if (identity !== undefined) {
    connection.authenticator = jwtAuthenticator(identity.token, identity.keys.seed);
  }
  if (inboxPrefix !== undefined) connection.inboxPrefix = inboxPrefix;
  const tls = tlsOf(list, tlsCa, options.tlsServerName);
  if (tls !== null) connection.tls = tls;
  try {
    return await connectToNats(connection);
  } catch (thrown) {
    throw toLoraFleetError(`cannot connect to the broker at ${quote(list)} as ${quote(name)}`, thrown);
  }
}

/** What the TLS client checks a certificate against: a name, or an address of numbers, which is no server name. */
interface CheckedHost {
  readonly servername?: string;
  readonly host?: string;
}

/** Null where the address leaves it to the broker. With `tls://` one that offers no TLS is refused, whoever that is. */
function tlsOf(
  servers: readonly string[],
  ca: string | undefined,
  serverName: string | undefined,
): TlsOptions & CheckedHost | null {
  const address = servers.find((server) => server.startsWith("tls://"));
  if (address === undefined && ca === undefined) return null;
  const name = (serverName ?? (address === undefined ? undefined : URL.parse(address)?.hostname))
    ?.replace(/^\[(.*)\]$/, "$1");
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(name === undefined ? {} : isIP(name) === 0 ? { servername: name } : { host: name }),
  };
}
