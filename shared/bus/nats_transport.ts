/**
 * NATS connections whose sockets cannot end the process. The client's transport takes all listeners from a socket that it
 * is done with, as after a refused password. The broker has closed such a connection already, so that "read ECONNRESET"
 * may still be on its way to the listeners: Deno runs the client's reaction first, and an error without a listener ends
 * the process. A broker that comes back with other passwords would take its whole fleet along.
 */
import { createConnection } from "node:net";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { hasWsProtocol, NatsConnectionImpl, setTransportFactory, wsconnect } from "@nats-io/transport-node";
import type { ConnectionOptions, NatsConnection } from "@nats-io/transport-node";
import { nodeResolveHost, NodeTransport } from "@nats-io/transport-node/lib/node_transport.js";

/** Connects as the client's own functions do, and throws what they throw: over TCP, or a web socket for ws:// and wss://. */
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

/** From now on the socket has a listener for errors, also after all of them were removed. */
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
