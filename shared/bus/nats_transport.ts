/**
 * NATS connections whose sockets cannot end the process. The client's transport removes all listeners of a socket that it
 * is done with, as after a refused password. The broker has closed that connection already, so that "read ECONNRESET"
 * may still arrive, and an error without a listener ends the process: a broker that restarts with different passwords
 * would end its whole fleet.
 */
import { createConnection } from "node:net";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { hasWsProtocol, NatsConnectionImpl, setTransportFactory, wsconnect } from "@nats-io/transport-node";
import type { ConnectionOptions, NatsConnection } from "@nats-io/transport-node";
import { nodeResolveHost, NodeTransport } from "@nats-io/transport-node/lib/node_transport.js";

/** Connects and throws as the client's own functions do: over TCP, or a web socket for ws:// and wss://. */
export function connectToNats(options: ConnectionOptions): Promise<NatsConnection> {
  if (hasWsProtocol(options)) return wsconnect(options);
  setTransportFactory({ factory: () => new GuardedTransport(), dnsResolveFn: nodeResolveHost });
  return NatsConnectionImpl.connect(options);
}

class GuardedTransport extends NodeTransport {
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
