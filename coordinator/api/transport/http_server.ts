/**
 * Serves a fetch handler with node:http. `Deno.serve` never disconnects a client that does not finish a request's header, so a
 * few thousand idle sockets would exhaust the coordinator's file descriptors.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "../../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../../shared/errors.ts";
import { HttpError, plainErrorResponse } from "./errors.ts";
import type { NatsDoor } from "./nats_door.ts";
import { endWith } from "./raw_answer.ts";
import { assertRequestLine, methodError, methodOf, METHODS } from "./request_line.ts";

/** Time to complete a request's header; enough over a satellite link with packet loss. */
const HEADER_TIMEOUT_MS = 20_000;
/** Clients reuse a connection for the next request; the `openai` package and browsers reopen a closed one. */
const KEEP_ALIVE_MS = 75_000;
/** The rest of an unread body is discarded for this long, so that the client can read the answer. */
const UNREAD_BODY_MS = 5_000;

interface HttpServerOptions {
  readonly hostname: string;
  /** 0: any free port. */
  readonly port: number;
  /** PEM; null: plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  readonly handler: (request: Request) => Response | Promise<Response>;
  /** For web sockets to the broker; default: they are requests like others. */
  readonly natsDoor?: Pick<NatsDoor, "isFor" | "enter">;
  readonly headerTimeoutMs?: number;
  readonly clock: Clock;
  readonly onDefect: (message: string, thrown: unknown) => void;
}

interface HttpServer {
  readonly port: number;
  /** Accepts no new connections, closes idle ones, and resolves once the others have ended, but for those handed to the broker. */
  shutdown(): Promise<void>;
}

/** Resolves once the port is open. Throws `port_in_use`, or `usage` for an unusable address. */
export async function serveHttp(options: HttpServerOptions): Promise<HttpServer> {
  const { hostname, port, tls, natsDoor, headerTimeoutMs = HEADER_TIMEOUT_MS } = options;
  const settings = {
    headersTimeout: headerTimeoutMs,
    // paced_body.ts limits the time for bodies.
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: Math.min(1000, headerTimeoutMs),
    // Java's and curl's clients offer HTTP/2 in this way with any request, which is answered as it is.
    shouldUpgradeCallback: (message: IncomingMessage) => natsDoor?.isFor(message) ?? false,
  };
  /** Open connections with their counts of pending answers. */
  const waiting = new Map<Socket, number>();
  let isClosing = false;
  const ended = Promise.withResolvers<void>();
  const forget = (socket: Socket) => {
    waiting.delete(socket);
    if (isClosing && waiting.size === 0) ended.resolve();
  };
  const count = (socket: Socket, change: number) => {
    const left = (waiting.get(socket) ?? 0) + change;
    if (isClosing && left === 0) socket.destroySoon();
    else if (waiting.has(socket)) waiting.set(socket, left);
  };
  const onRequest = (message: IncomingMessage, response: ServerResponse) => {
    const { socket } = message;
    count(socket, 1);
    response.once("close", () => count(socket, -1));
    answer(message, response, options).catch((thrown) => {
      response.destroy();
      options.onDefect(`${message.method} ${message.url}: the answer was not sent`, thrown);
    });
  };
  const server: Server = tls === null
    ? createServer(settings, onRequest)
    : createTlsServer({ ...settings, ...tls, handshakeTimeout: headerTimeoutMs }, onRequest);
  server.on("clientError", refuseMalformed);
  // By default node closes the connection without an answer.
  server.on("connect", (_message, socket) => refuseMethod(socket, methodError("CONNECT")));
  // With TLS a request belongs to the secure connection.
  server.on(tls === null ? "connection" : "secureConnection", (socket: Socket) => {
    waiting.set(socket, 0);
    socket.once("close", () => forget(socket));
  });
  server.on("upgrade", (message, socket, head) => {
    // The broker ends it.
    forget(socket as Socket);
    natsDoor?.enter(message, socket, head);
  });
  await listening(server, hostname, port);
  const address = server.address();
  return {
    port: address !== null && typeof address === "object" ? address.port : port,
    shutdown() {
      // node itself would keep connections open that never sent a request.
      isClosing = true;
      server.close(() => ended.resolve());
      for (const [socket, answers] of waiting) if (answers === 0) socket.destroySoon();
      if (waiting.size === 0) ended.resolve();
      return ended.promise;
    },
  };
}

function listening(server: Server, hostname: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (thrown: Error & { code?: string }) => {
      const isTaken = thrown.code === "EADDRINUSE";
      const why = isTaken
        ? "the port is taken; stop the process that holds it, or choose a different --port"
        : messageOf(thrown);
      const options = { param: isTaken ? "port" : "host", cause: thrown };
      const message = `cannot listen on ${hostname}:${port}: ${why}`;
      reject(new LoraFleetError(isTaken ? "port_in_use" : "usage", message, options));
    });
    server.listen({ host: hostname, port }, resolve);
  });
}

/** Answers what the parser rejects before it reaches the app. */
function refuseMalformed(thrown: Error & { code?: string; rawPacket?: Uint8Array }, socket: Socket): void {
  if (!socket.writable || thrown.code === "ECONNRESET") return void socket.destroy();
  const method = methodOf(new TextDecoder().decode(thrown.rawPacket?.subarray(0, 8192)));
  if (method !== null && !METHODS.includes(method)) return refuseMethod(socket, methodError(method));
  const status = thrown.code === "ERR_HTTP_REQUEST_TIMEOUT"
    ? "408 Request Timeout"
    : thrown.code === "HPE_HEADER_OVERFLOW"
    ? "431 Request Header Fields Too Large"
    : "400 Bad Request";
  endWith(socket, status, `not a valid HTTP request: ${status.slice(4)}`, "invalid_request");
}

function refuseMethod(socket: Duplex, { message, code, headers }: HttpError): void {
  endWith(socket, "405 Method Not Allowed", message, code, `allow: ${headers["allow"]}\r\n`);
}

async function answer(
  message: IncomingMessage,
  response: ServerResponse,
  { handler, tls, clock, onDefect }: HttpServerOptions,
): Promise<void> {
  // A client may disconnect at any time, which is not a defect; the next read or write fails.
  message.on("error", () => {});
  response.on("error", () => {});
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  let reply: Response;
  try {
    reply = await handler(requestOf(message, tls !== null));
  } catch (thrown) {
    if (!(thrown instanceof HttpError)) onDefect(`${message.method} ${message.url}`, thrown);
    reply = plainErrorResponse(thrown);
  }
  await send(reply, response, gone.signal);
  dropUnreadBody(message, clock);
}

/** Throws an `HttpError` for what a `Request` cannot be made of. */
function requestOf(message: IncomingMessage, isTls: boolean): Request {
  const method = message.method ?? "";
  const url = assertRequestLine(method, message.headers.host, message.url ?? "", isTls);
  const headers = new Headers();
  for (let at = 0; at < message.rawHeaders.length; at += 2) {
    headers.append(message.rawHeaders[at]!, message.rawHeaders[at + 1]!);
  }
  const hasBody = method !== "GET" && method !== "HEAD" &&
    (headers.has("transfer-encoding") || Number(headers.get("content-length") ?? 0) > 0);
  return new Request(url, { method, headers, body: hasBody ? bodyOf(message) : null });
}

function bodyOf(message: IncomingMessage): ReadableStream<Uint8Array> {
  const chunks: AsyncIterator<Uint8Array> = message.iterator({ destroyOnReturn: false });
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await chunks.return?.();
    },
  }, { highWaterMark: 0 });
}

async function send(reply: Response, response: ServerResponse, gone: AbortSignal): Promise<void> {
  response.writeHead(reply.status, [...reply.headers].flat());
  if (reply.body === null) return void response.end();
  const reader = reply.body.getReader();
  const onGone = () => void reader.cancel().catch(() => {});
  gone.addEventListener("abort", onGone, { once: true });
  try {
    // A stream, such as one of events, may have no bytes for long; its client needs the header now.
    response.flushHeaders();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || gone.aborted) break;
      if (!response.write(value)) await drained(response, gone);
    }
    response.end();
  } catch {
    // The header is sent, so a truncated body is the only way to report an unreadable file.
    response.destroy();
  } finally {
    gone.removeEventListener("abort", onGone);
    if (gone.aborted) await reader.cancel().catch(() => {});
  }
}

function drained(response: ServerResponse, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      response.off("drain", end);
      gone.removeEventListener("abort", end);
      resolve();
    };
    response.once("drain", end);
    gone.addEventListener("abort", end, { once: true });
    if (gone.aborted) end();
  });
}

/** Keeps a reset from losing an answer that precedes the body's end, for a limited time. */
function dropUnreadBody(message: IncomingMessage, clock: Clock): void {
  if (message.complete) return;
  message.resume();
  const read = new AbortController();
  for (const event of ["close", "end"]) message.once(event, () => read.abort());
  clock.sleep(UNREAD_BODY_MS, read.signal).then(() => void message.socket.destroy(), () => {});
}
