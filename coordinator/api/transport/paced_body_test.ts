import { assertEquals, assertRejects } from "@std/assert";
import { createFakeClock } from "../../../shared/testing/fake_clock.ts";
import { systemClock } from "../../../shared/clock.ts";
import { withWorld } from "../../testing/app_fixture.ts";
import { HttpError } from "./errors.ts";
import { allowedWaitMs, pacedBody } from "./paced_body.ts";

function slowBody() {
  let controller: ReadableStreamDefaultController<Uint8Array>;
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    start: (given) => void (controller = given),
    cancel: () => void (cancelled = true),
  });
  return {
    body,
    send: (count: number) => controller.enqueue(new Uint8Array(count)),
    end: () => controller.close(),
    isCancelled: () => cancelled,
  };
}

Deno.test("a body may pause for a minute plus the time its bytes allow", async () => {
  assertEquals([0, 16 * 1024].map(allowedWaitMs), [60_000, 61_000]);
  const clock = createFakeClock();
  const source = slowBody();
  const reader = pacedBody(source.body, clock).getReader();
  const first = reader.read();
  await clock.advance(59_999);
  source.send(32 * 1024);
  assertEquals((await first).value?.byteLength, 32 * 1024);
  const second = reader.read();
  await clock.advance(2000);
  source.send(1);
  assertEquals((await second).value?.byteLength, 1);
  // What we do meanwhile is not its fault.
  await clock.advance(1_000_000);
  source.end();
  assertEquals((await reader.read()).done, true);
  assertEquals(clock.nextWakeAt, null);
});

Deno.test("a body that trickles is refused and its source cancelled", async () => {
  const clock = createFakeClock();
  const source = slowBody();
  const reader = pacedBody(source.body, clock).getReader();
  const dripping = assertRejects(
    async () => {
      while (!(await reader.read()).done);
    },
    HttpError,
    "16384 bytes a second are needed",
  );
  for (let second = 0; second < 61; second++) {
    if (!source.isCancelled()) source.send(1);
    await clock.advance(1000);
  }
  await dripping;
  assertEquals(source.isCancelled(), true);
});

Deno.test("a stalled upload is a 408 and leaves nothing behind", async () => {
  const clock = createFakeClock(1_700_000_000_000);
  await withWorld({ clock }, async ({ app, store, folder }) => {
    const source = slowBody();
    const answer = app.request("http://localhost/v1/files", {
      method: "POST",
      headers: { "content-type": "multipart/form-data; boundary=b" },
      body: source.body,
    });
    source.send(3);
    for (let minute = 0; minute < 3; minute++) {
      await systemClock.sleep(5);
      await clock.advance(60_000);
    }
    const response = await answer;
    assertEquals([response.status, (await response.json()).error.code], [408, "too_slow"]);
    assertEquals(store.files({ after: null, limit: 10, purpose: null }).items, []);
    assertEquals(await Array.fromAsync(Deno.readDir(`${folder}/files`)).catch(() => []), []);
  });
});
