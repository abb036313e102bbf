/**
 * The broker behind the API's port: a web socket at /nats is handed over to the broker's own listener on this machine, byte by
 * byte, the request included. So the broker sees each worker as it does over TCP, with its key and its token (decision 0037).
 */
import type { IncomingMessage } from "node:http";
import { createConnection, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "../../../shared/clock.ts";
import { endWith } from "./raw_answer.ts";

export const NATS_DOOR_PATH = "/nats";

/** After this time the broker has closed a connection that did not say who it is: 2 s for the request, 5 s for the token. */
const YOUNG_MS = 8_000;
/** Each worker has two; a fleet that reconnects at once takes turns beyond this. */
const MOST_YOUNG = 1024;
/** For the broker's last words to a client that reads slowly. */
const LAST_WORDS_MS = 5_000;
/** Of the request; all others are between the client and us. */
const HANDED_ON = /^(host|sec-websocket-(key|version|protocol|extensions))$/i;

export interface NatsDoor {
  /** Whether a request that asks for another protocol is for the broker; all others are ordinary requests. */
  isFor(message: IncomingMessage): boolean;
  /** Answers or hands over. `head`: bytes that came after the request. */
  enter(message: IncomingMessage, socket: Duplex, head: Uint8Array): void;
  /** Cuts all connections. */
  close(): void;
}

interface NatsDoorOptions {
  /** Of the broker's listener for web sockets on this machine, as it is now; null: the door is shut. */
  readonly port: () => number | null;
  readonly clock: Clock;
  readonly mostYoung?: number;
  readonly youngMs?: number;
}

export function createNatsDoor(
  { port, clock, mostYoung = MOST_YOUNG, youngMs = YOUNG_MS }: NatsDoorOptions,
): NatsDoor {
  const open = new Set<Duplex>();
  let young = 0;

  function grow(socket: Duplex): void {
    young++;
    const gone = new AbortController();
    socket.once("close", () => gone.abort());
    clock.sleep(youngMs, gone.signal).catch(() => {}).finally(() => young--);
  }

  return {
    isFor: ({ headers, method, url = "" }) =>
      method === "GET" && headers.upgrade?.toLowerCase() === "websocket" &&
      url.replace(/\?.*/, "") === NATS_DOOR_PATH,
    enter(message, socket, head) {
      // Whoever disconnects is no defect.
      socket.on("error", () => socket.destroy());
      const inside = port();
      if (inside === null) {
        const what =
          "this coordinator takes no NATS connections at its API's port: start it with --one-port, " +
          "or reach the broker at the address that the join URL gives";
        return endWith(socket, "404 Not Found", what, "not_found");
      }
      if (young >= mostYoung) {
        const what =
          `${young} connections have just begun, and no more are taken at once: try again in a few seconds`;
        return endWith(socket, "503 Service Unavailable", what, "busy", "retry-after: 5\r\n");
      }
      grow(socket);
      open.add(socket);
      socket.once("close", () => open.delete(socket));
      handOver(socket, inside, [requestTo(message), head], clock);
    },
    close() {
      for (const socket of open) socket.destroy();
    },
  };
}

function handOver(
  outside: Duplex,
  port: number,
  first: readonly (string | Uint8Array)[],
  clock: Clock,
): void {
  const inside = createConnection({ host: "127.0.0.1", port });
  let isThrough = false;
  inside.setNoDelay(true);
  (outside as Socket).setNoDelay?.(true);
  // A client whose cable is pulled says nothing.
  (outside as Socket).setKeepAlive?.(true, 30_000);
  inside.once("connect", () => {
    isThrough = true;
    for (const bytes of first) inside.write(bytes);
    // Reads from one only as fast as the other takes it.
    outside.pipe(inside);
    inside.pipe(outside);
  });
  inside.on("error", () => {
    if (isThrough) return;
    const what = "the broker does not answer now: it starts again, or the coordinator ends";
    endWith(outside, "503 Service Unavailable", what, "unavailable", "retry-after: 1\r\n");
  });
  outside.once("close", () => inside.destroy());
  inside.once("close", () => {
    outside.end();
    const gone = new AbortController();
    outside.once("close", () => gone.abort());
    clock.sleep(LAST_WORDS_MS, gone.signal).then(() => void outside.destroy(), () => {});
  });
}

/** The request as the broker gets it. The parser has checked that no value holds the end of a line. */
function requestTo({ rawHeaders }: IncomingMessage): string {
  const lines = [`GET ${NATS_DOOR_PATH} HTTP/1.1`, "Connection: Upgrade", "Upgrade: websocket"];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (HANDED_ON.test(rawHeaders[at]!)) lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
  }
  return `${lines.join("\r\n")}\r\n\r\n`;
}
