/**
 * NATS connections whose sockets cannot end the process. The client's transport removes all listeners of a socket that it
 * is done with, as after a refused password. The broker has closed that connection already, so that "read ECONNRESET"
 * may still arrive, and an error without a listener ends the process: a broker that restarts with different passwords
 * would end its whole fleet.
 */
import { createConnection, isIP } from "node:net";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { hasWsProtocol, NatsConnectionImpl, setTransportFactory, wsconnect } from "@nats-io/transport-node";
import type { ConnectionOptions, NatsConnection, TlsOptions } from "@nats-io/transport-node";
import { nodeResolveHost, NodeTransport } from "@nats-io/transport-node/lib/node_transport.js";

/**
 * Connects and throws as the client's own functions do: over TCP, or a web socket for ws:// and wss://. The other servers of a
 * cluster count only once one has accepted us: the client forgets a server that refuses it, learns of it again from the next one,
 * and would go round for ever without a pause.
 */
export async function connectToNats(options: ConnectionOptions): Promise<NatsConnection> {
  const first = { ...options, ignoreClusterUpdates: true };
  const connection = await (hasWsProtocol(first) ? wsconnect(first) : connectByTcp(first));
  const { options: kept, protocol } = connection as NatsConnectionImpl;
  kept.ignoreClusterUpdates = false;
  if (connection.info !== undefined) {
    protocol.servers.update(connection.info, protocol.transport.isEncrypted());
  }
  return connection;
}

function connectByTcp(options: ConnectionOptions): Promise<NatsConnection> {
  setTransportFactory({ factory: () => new GuardedTransport(), dnsResolveFn: nodeResolveHost });
  return NatsConnectionImpl.connect(options);
}

/** TLS with what the client checks a certificate against: a server name, or a numeric address, which is none. */
export interface CheckedTls extends TlsOptions {
  readonly servername?: string;
  readonly host?: string;
}

export function checkedHost(name: string): Pick<CheckedTls, "servername" | "host"> {
  const bare = name.replace(/^\[(.*)\]$/, "$1");
  return isIP(bare) === 0 ? { servername: bare } : { host: bare };
}

/** A server that is dialled. `tlsName`: the name by which it was given, before it was resolved; empty if by an address. */
interface Dialled {
  readonly hostname: string;
  readonly port: number;
  readonly tlsName: string;
}

class GuardedTransport extends NodeTransport {
  /** Of several servers each one's certificate has to hold its own name. */
  override connect(server: Dialled, options: ConnectionOptions): Promise<void> {
    const tls = options.tls as CheckedTls | null | undefined;
    if (!tls || tls.servername !== undefined || tls.host !== undefined) return super.connect(server, options);
    const name = server.tlsName === "" ? server.hostname : server.tlsName;
    return super.connect(server, { ...options, tls: { ...tls, ...checkedHost(name) } as TlsOptions });
  }

  override dial({ hostname, port }: { hostname: string; port: number }): Promise<Socket> {
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    const socket = guard(createConnection(port, hostname));
    socket.setNoDelay(true);
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.removeAllListeners();
      resolve(socket);
    });
    return promise;
  }

  override async startTLS(): Promise<TLSSocket> {
    return guard(await super.startTLS());
  }

  override async tlsFirst(address: { hostname: string; port: number }): Promise<TLSSocket> {
    return guard(await super.tlsFirst(address));
  }
}

/** Keeps an error listener on the socket, also after `removeAllListeners`. */
function guard<S extends Socket>(socket: S): S {
  const removeAll = socket.removeAllListeners.bind(socket);
  const ignore = () => {};
  socket.removeAllListeners = (...event) => {
    removeAll(...event);
    socket.on("error", ignore);
    return socket;
  };
  return socket.on("error", ignore);
}
