/** A minimum rate for request bodies: stalled uploads would hold files and memory indefinitely. */
import type { MiddlewareHandler } from "hono";
import type { Clock } from "../../../shared/clock.ts";
import { messageOf } from "../../../shared/errors.ts";
import { assertRequestLine } from "./request_line.ts";
import { HttpError } from "./errors.ts";

/** Half of a poor uplink. */
const SLOWEST_BYTES_PER_SECOND = 16 * 1024;
/** A network outage may last this long. */
const PATIENCE_MS = 60_000;

/** The total waiting time allowed for `bytes` bytes. */
export function allowedWaitMs(bytes: number): number {
  return PATIENCE_MS + 1000 * bytes / SLOWEST_BYTES_PER_SECOND;
}

/** The same bytes; fails with 408 if they arrive too slowly. Only waiting counts, not our own processing. */
export function pacedBody(body: ReadableStream<Uint8Array>, clock: Clock): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let bytes = 0;
  let waitedMs = 0;

  async function next(): Promise<Uint8Array | null> {
    const leftMs = allowedWaitMs(bytes) - waitedMs;
    const since = clock.now();
    const came = new AbortController();
    const late = clock.sleep(Math.max(0, leftMs), came.signal).then(() => {
      const message = `only ${bytes} bytes of the body arrived in ` +
        `${Math.round((waitedMs + leftMs) / 1000)} s; ${SLOWEST_BYTES_PER_SECOND} bytes a second are needed`;
      throw new HttpError(408, "too_slow", message);
    });
    late.catch(() => {});
    try {
      const { done, value } = await Promise.race([reader.read().catch(clientDisconnected), late]);
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

/** A body fails only if the client disconnects, which is not a defect. */
function clientDisconnected(thrown: unknown): never {
  throw new HttpError(400, "incomplete_body", `the body ended early: ${messageOf(thrown)}`);
}

/** Paces all request bodies, and refuses request lines that no `Request` can be made of. */
export function pacedBodies(clock: Clock): MiddlewareHandler {
  return async (c, next) => {
    const { url, method, headers, body } = c.req.raw;
    const { target, host } = /^https?:\/\/(?<host>[^/?#]*)(?<target>.*)$/i.exec(url)?.groups ?? {};
    assertRequestLine(method, host, target ?? "", false);
    // Copying the whole request would follow the signal of Deno's request, and Deno would warn the user.
    if (body !== null) c.req.raw = new Request(url, { method, headers, body: pacedBody(body, clock) });
    await next();
  };
}
