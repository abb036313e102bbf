/** Bodies that must keep coming: who opens uploads and hardly sends anything would hold files and memory for ever. */
import type { MiddlewareHandler } from "hono";
import type { Clock } from "../../../shared/clock.ts";
import { messageOf } from "../../../shared/errors.ts";
import { assertRequestLine } from "./request_line.ts";
import { HttpError } from "./errors.ts";

/** Half of what a poor upstream gives. */
const SLOWEST_BYTES_PER_SECOND = 16 * 1024;
/** A network may be away for so long. */
const PATIENCE_MS = 60_000;

/** How long all the waiting for `bytes` bytes may take. */
export function allowedWaitMs(bytes: number): number {
  return PATIENCE_MS + 1000 * bytes / SLOWEST_BYTES_PER_SECOND;
}

/** The same bytes; fails with 408 where they come too slowly. Only waiting counts, not what we do with them. */
export function pacedBody(body: ReadableStream<Uint8Array>, clock: Clock): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let bytes = 0;
  let waitedMs = 0;

  async function next(): Promise<Uint8Array | null> {
    const leftMs = allowedWaitMs(bytes) - waitedMs;
    const since = clock.now();
    const came = new AbortController();
    const late = clock.sleep(Math.max(0, leftMs), came.signal).then(() => {
      throw new HttpError(
        408,
        "too_slow",
        `only ${bytes} bytes of the body have come in ${Math.round((waitedMs + leftMs) / 1000)} s; ` +
          `${SLOWEST_BYTES_PER_SECOND} bytes a second are needed`,
      );
    });
    late.catch(() => {});
    try {
      const { done, value } = await Promise.race([reader.read().catch(hungUp), late]);
      if (done) return null;
      bytes += value.byteLength;
      return value;
    } finally {
      came.abort();
      waitedMs += clock.now() - since;
    }
  }

  return new ReadableStream({
    async pull(controller) {
      try {
        const chunk = await next();
        if (chunk === null) controller.close();
        else controller.enqueue(chunk);
      } catch (thrown) {
        reader.cancel(thrown).catch(() => {});
        controller.error(thrown);
      }
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
}

/** Only the client's side of a body can fail: it has ended the connection, which is no defect of ours. */
function hungUp(thrown: unknown): never {
  throw new HttpError(400, "incomplete_body", `the body has ended early: ${messageOf(thrown)}`);
}

/** Every body of a request is a paced one. Refuses first what no `Request` can be made of. */
export function pacedBodies(clock: Clock): MiddlewareHandler {
  return async (c, next) => {
    const { url, method, headers, body } = c.req.raw;
    const { target, host } = /^https?:\/\/(?<host>[^/?#]*)(?<target>.*)$/i.exec(url)?.groups ?? {};
    assertRequestLine(method, host, target ?? "", false);
    // From its parts: a copy of the whole would follow the signal of Deno's request, of which Deno then warns the user.
    if (body !== null) c.req.raw = new Request(url, { method, headers, body: pacedBody(body, clock) });
    await next();
  };
}
