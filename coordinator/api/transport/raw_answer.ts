/** An answer without a request that a handler could see. */
import type { Duplex } from "node:stream";

/** `status`: with its words, "404 Not Found". `header`: whole lines, each with its end. Ends the connection. */
export function endWith(socket: Duplex, status: string, message: string, code: string, header = ""): void {
  const type = status.startsWith("5") ? "server_error" : "invalid_request_error";
  const body = JSON.stringify({ error: { message, type, param: null, code } });
  socket.end(
    `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: application/json\r\n${header}` +
      `content-length: ${new TextEncoder().encode(body).byteLength}\r\n\r\n${body}`,
  );
}
