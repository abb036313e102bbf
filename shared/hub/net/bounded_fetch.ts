/** `fetch` with a limit on all responses together: a server that never stops sending would fill our memory. */
import { LoraFleetError, quote } from "../../errors.ts";

export interface ResponseBounds {
  /** All responses together. */
  readonly maxBytes: number;
  /** A paged list may be endless with hardly a byte per page. */
  readonly maxResponses: number;
}

/** The same response with this body: a new Response alone loses its URL. */
export function withBody(response: Response, body: ReadableStream<Uint8Array>): Response {
  return Object.defineProperty(new Response(body, response), "url", { value: response.url });
}

/** Beyond a limit throws `invalid_request`, or errors the response's body with it. */
export function boundedFetch(
  plainFetch: typeof fetch,
  { maxBytes, maxResponses }: ResponseBounds,
): typeof fetch {
  let leftBytes = maxBytes;
  let leftResponses = maxResponses;
  const tooMuch = (url: string, what: string) => {
    const message = `${quote(new URL(url).origin)} answers with more than ${what}, which is the limit`;
    return new LoraFleetError("invalid_request", message, { param: "HF_ENDPOINT" });
  };

  return async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    if (leftResponses-- <= 0) throw tooMuch(url, `${maxResponses} pages`);
    const response = await plainFetch(input, init);
    const { body } = response;
    if (body === null) return response;
    const announced = Number(response.headers.get("content-length") ?? 0);
    if (announced > leftBytes && !response.headers.has("content-encoding")) {
      await body.cancel().catch(() => {});
      throw tooMuch(url, `${maxBytes} bytes`);
    }
    const counted = body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          leftBytes -= chunk.byteLength;
          if (leftBytes < 0) throw tooMuch(url, `${maxBytes} bytes`);
          controller.enqueue(chunk);
        },
      }),
    );
    return withBody(response, counted);
  };
}
