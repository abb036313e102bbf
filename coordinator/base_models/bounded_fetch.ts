/** `fetch` with a limit on all responses together: a server that never stops sending would fill our memory. */
import { LoraFleetError, quote } from "../../shared/errors.ts";

export interface ResponseBounds {
  /** All responses together. */
  readonly maxBytes: number;
  /** A paged list may go on for ever with hardly a byte per page. */
  readonly maxResponses: number;
}

/** Beyond a limit throws a `LoraFleetError` with code `invalid_request`, or errors the response's body with it. */
export function boundedFetch(
  plainFetch: typeof fetch,
  { maxBytes, maxResponses }: ResponseBounds,
): typeof fetch {
  let leftBytes = maxBytes;
  let leftResponses = maxResponses;
  const tooMuch = (url: string, what: string) =>
    new LoraFleetError(
      "invalid_request",
      `${quote(new URL(url).origin)} answers with more than ${what}, which is the limit`,
      { param: "HF_ENDPOINT" },
    );

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
    const bounded = new Response(counted, response);
    // A new Response loses its URL.
    Object.defineProperty(bounded, "url", { value: response.url });
    return bounded;
  };
}
