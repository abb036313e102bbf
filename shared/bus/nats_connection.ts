/** One connection to a broker, which reconnects for ever. */
import { credsAuthenticator, jwtAuthenticator } from "@nats-io/transport-node";
import type {
  ConnectionOptions,
  NatsConnection,
  WsConnectionOptions,
  WsSocketFactory,
} from "@nats-io/transport-node";
import { messageOf, quote } from "../errors.ts";
import { toLoraFleetError } from "./nats_errors.ts";
import type { NatsIdentity } from "./nats_keys.ts";
import { splitServers } from "./nats_servers.ts";
import { checkedHost, type CheckedTls, connectToNats } from "./nats_transport.ts";

export interface NatsConnectionOptions {
  /** `nats://`, `tls://`, `ws://`, `wss://`, or `host:port`; the servers of a cluster with commas between. */
  readonly servers: string;
  readonly user?: string;
  readonly pass?: string;
  /** The content of a `.creds` file (JWT and NKey). */
  readonly credentials?: Uint8Array;
  /** Our identity at a broker that knows its clients by signed tokens (decision 0010). */
  readonly identity?: NatsIdentity;
  /** Answers come under this subject; default `_INBOX`. */
  readonly inboxPrefix?: string;
  /** PEM certificates of the authorities that may have signed the broker's; default: the system's. */
  readonly tlsCa?: string;
  /** The name that the broker's certificate must hold; default: the address's host. */
  readonly tlsServerName?: string;
  /** Shown in the server's monitoring. */
  readonly name: string;
}

const RECONNECT_WAIT_MS = 500;
const FIRST_CONNECT_TIMEOUT_MS = 10_000;
/** A peer that misses two pings is gone: a pulled cable, a sleeping machine. */
const PING_INTERVAL_MS = 5000;

/** Rejects with code `unauthorized` or `timeout` if the first connection fails. */
export async function openConnection(options: NatsConnectionOptions): Promise<NatsConnection> {
  const { servers, user, pass, credentials, identity, inboxPrefix, name } = options;
  const connection: ConnectionOptions & Pick<WsConnectionOptions, "wsFactory"> = {
    servers: splitServers(servers),
    name,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    // A broker that restarts with different passwords refuses twice and accepts later, or never: the owner of the bus
    // decides when to ask for new ones.
    ignoreAuthErrorAbort: true,
    timeout: FIRST_CONNECT_TIMEOUT_MS,
    pingInterval: PING_INTERVAL_MS,
    noAsyncTraces: true,
  };
  if (user !== undefined) connection.user = user;
  if (pass !== undefined) connection.pass = pass;
  if (credentials !== undefined) connection.authenticator = credsAuthenticator(credentials);
  if (identity !== undefined) {
    connection.authenticator = jwtAuthenticator(identity.token, identity.keys.seed);
  }
  if (inboxPrefix !== undefined) connection.inboxPrefix = inboxPrefix;
  const isWebSocket = /^wss?:/.test(servers);
  const tls = isWebSocket ? null : tlsOf(options);
  if (tls !== null) connection.tls = tls;
  if (isWebSocket && options.tlsCa !== undefined) connection.wsFactory = trusting(options.tlsCa);
  try {
    return await connectToNats(connection);
  } catch (thrown) {
    const what = `cannot connect to the broker at ${quote(servers)} as ${quote(name)}`;
    // Deno tries HTTP/2 as well, and tells of that alone.
    const isHidden = isWebSocket && messageOf(thrown).includes("NoApplicationProtocol");
    const hint = isHidden ? " (its certificate is not trusted, or no web socket is taken there)" : "";
    throw toLoraFleetError(`${what}${hint}`, thrown);
  }
}

/** Web sockets to servers whose certificate this authority, too, may have signed. */
function trusting(ca: string): WsSocketFactory {
  return (url) => {
    const client = Deno.createHttpClient({ caCerts: [ca] });
    const socket = new WebSocket(url, { client });
    socket.addEventListener("close", () => client.close());
    return Promise.resolve({ socket, encrypted: url.startsWith("wss:") });
  };
}

/**
 * Null to leave it to the broker. A broker without TLS at a `tls://` address is refused. Without `tlsServerName` each server's
 * certificate is checked against that server's own address (nats_transport.ts).
 */
function tlsOf({ servers, tlsCa: ca, tlsServerName: name }: NatsConnectionOptions): CheckedTls | null {
  if (!servers.startsWith("tls://") && ca === undefined) return null;
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(name === undefined ? {} : checkedHost(name)),
  };
}
