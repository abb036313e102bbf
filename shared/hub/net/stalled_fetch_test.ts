import { assertEquals, assertRejects } from "@std/assert";
import { createFakeClock } from "../../testing/fake_clock.ts";
import { LoraFleetError } from "../../errors.ts";
import { unstalledFetch } from "./stalled_fetch.ts";

const URL = "https://hub.example/api/models/a/b";
const STALL_MS = 30_000;

Deno.test("a server that never answers times out and its connection is closed", async () => {
  const clock = createFakeClock();
  let reason: unknown = null;
  const silent: typeof fetch = (_input, init) =>
    new Promise(() => init!.signal!.addEventListener("abort", () => reason = init!.signal!.reason));
  const asked = unstalledFetch(silent, clock, STALL_MS)(URL);
  const refused = assertRejects(
    () => asked,
    LoraFleetError,
    '"https://hub.example" has sent nothing for 30 s',
  );
  await clock.advance(STALL_MS);
  assertEquals((await refused).code, "timeout");
  assertEquals(reason instanceof LoraFleetError, true);
});

Deno.test("a slow response is accepted; one that stalls times out", async () => {
  const clock = createFakeClock();
  const pieces = new TransformStream<Uint8Array, Uint8Array>();
  const writer = pieces.writable.getWriter();
  const answers: typeof fetch = () => Promise.resolve(new Response(pieces.readable));
  const response = await unstalledFetch(answers, clock, STALL_MS)(URL);
  const reader = response.body!.getReader();
  for (let count = 0; count < 3; count++) {
    const next = reader.read();
    await clock.advance(STALL_MS - 1);
    void writer.write(Uint8Array.of(count));
    assertEquals((await next).value, Uint8Array.of(count));
  }
  const last = assertRejects(() => reader.read(), LoraFleetError, "has sent nothing for 30 s");
  await clock.advance(STALL_MS);
  await last;
});

Deno.test("the caller's signal still aborts, and a response passes unchanged", async () => {
  const clock = createFakeClock();
  const waits: typeof fetch = (_input, init) =>
    new Promise((_, reject) => init!.signal!.addEventListener("abort", () => reject(init!.signal!.reason)));
  const stopping = new AbortController();
  const asked = unstalledFetch(waits, clock, STALL_MS)(URL, { signal: stopping.signal });
  stopping.abort(new LoraFleetError("aborted", "the job was cancelled"));
  await assertRejects(() => asked, LoraFleetError, "cancelled");
  const answers: typeof fetch = () =>
    Promise.resolve(new Response("text", { status: 206, headers: { etag: '"a"' } }));
  const response = await unstalledFetch(answers, clock, STALL_MS)(URL);
  assertEquals([response.status, response.headers.get("etag"), await response.text()], [206, '"a"', "text"]);
});
