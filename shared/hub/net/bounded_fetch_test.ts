import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../errors.ts";
import { boundedFetch } from "./bounded_fetch.ts";

/** A server that sends pieces of 1000 bytes for as long as it is listened to. */
function endless(sent: { bytes: number }): typeof fetch {
  return () =>
    Promise.resolve(
      new Response(
        new ReadableStream({
          pull(controller) {
            sent.bytes += 1000;
            controller.enqueue(new Uint8Array(1000));
          },
        }),
      ),
    );
}

const URL = "https://hub.example/api/models/a/b";

Deno.test("an endless response fails at the limit and is cancelled", async () => {
  const sent = { bytes: 0 };
  const bounded = boundedFetch(endless(sent), { maxBytes: 10_000, maxResponses: 9 });
  const response = await bounded(URL);
  const error = await assertRejects(() => response.text(), LoraFleetError, "more than 10000 bytes");
  assertEquals(error.code, "invalid_request");
  assertEquals(sent.bytes < 20_000, true, `${sent.bytes}`);
});

Deno.test("a response announced beyond the limit is not read; bytes and number of all responses count together", async () => {
  const answer = (size: number): typeof fetch => () =>
    Promise.resolve(
      new Response(new Uint8Array(size), { headers: { "content-length": `${size}`, etag: '"a"' } }),
    );
  const bounds = { maxBytes: 10_000, maxResponses: 3 };
  await assertRejects(() => boundedFetch(answer(10_001), bounds)(URL), LoraFleetError, "hub.example");
  const bounded = boundedFetch(answer(4000), bounds);
  for (let count = 0; count < 2; count++) {
    const response = await bounded(URL);
    assertEquals([(await response.bytes()).length, response.headers.get("etag")], [4000, '"a"']);
  }
  await assertRejects(() => bounded(URL), LoraFleetError, "more than 10000 bytes");
  const empty = boundedFetch(answer(0), bounds);
  for (let count = 0; count < 3; count++) await empty(URL);
  await assertRejects(() => empty(URL), LoraFleetError, "more than 3 pages");
});
