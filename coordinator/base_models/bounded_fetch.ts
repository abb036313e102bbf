/** `fetch` whose answers have a largest size, all of them together: a server that sends without end fills the memory of who asks. */
import { LoraFleetError, quote } from "../../shared/errors.ts";

export interface ResponseBounds {
  /** Of all answers together. */
  readonly maxBytes: number;
  /** A list in pages may go on for ever with hardly a byte in each. */
  readonly maxResponses: number;
}

/** Throws a `LoraFleetError` with code `invalid_request`, or errors the answer's body with it, beyond a bound. */
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
      {
        param: "HF_ENDPOINT",
      },
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
    // A new Response forgets where it came from.
    Object.defineProperty(bounded, "url", { value: response.url });
    return bounded;
  };
}
