/** `fetch` that gives up on a server that does not answer or stops in the middle: jobs and clients wait for it. */
import type { Clock } from "../../clock.ts";
import { LoraFleetError, quote } from "../../errors.ts";
import { withBody } from "./bounded_fetch.ts";

/**
 * After a silence of `stallMs` throws `timeout`, or errors the response's body with it. The silence counts from the request
 * and from each chunk.
 */
export function unstalledFetch(plainFetch: typeof fetch, clock: Clock, stallMs: number): typeof fetch {
  return async (input, init) => {
    const request = new Request(input, init);
    const silence = new AbortController();
    const { origin } = new URL(request.url);
    const message = `${quote(origin)} has sent nothing for ${Math.round(stallMs / 1000)} s`;
    const late = new LoraFleetError("timeout", message);

    async function inTime<T>(promise: Promise<T>): Promise<T> {
      const came = new AbortController();
      const silent = clock.sleep(stallMs, came.signal).then(() => {
        silence.abort(late);
        throw late;
      });
      silent.catch(() => {});
      try {
        return await Promise.race([promise, silent]);
      } finally {
        came.abort();
      }
    }

    const signal = AbortSignal.any([request.signal, silence.signal]);
    const response = await inTime(plainFetch(request, { ...init, signal }));
    if (response.body === null) return response;
    const reader = response.body.getReader();
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      async pull(controller) {
        const { done, value } = await inTime(reader.read());
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    }, { highWaterMark: 0 });
    return withBody(response, body);
  };
}
