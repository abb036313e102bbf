import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { createNewestUpload, untilAborted } from "./newest_upload.ts";

const never = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

Deno.test("a newer upload of a file ends the running one and follows it; other files do not wait", async () => {
  const inTurn = createNewestUpload();
  const order: string[] = [];
  const first = assertRejects(
    () => inTurn("/a", "a", (signal) => never(signal).finally(() => order.push("first ended"))),
    LoraFleetError,
    'a newer upload of "a" replaced this one',
  );
  assertEquals(await inTurn("/b", "b", () => Promise.resolve("other")), "other");
  assertEquals(await inTurn("/a", "a", () => Promise.resolve(order.push("second"))), 2);
  await first;
  assertEquals(order, ["first ended", "second"]);
});

Deno.test("a stalled body ends with the signal's reason", async () => {
  const stop = new AbortController();
  const body = (async function* () {
    yield new Uint8Array(1);
    await new Promise(() => {});
  })();
  const seen: number[] = [];
  await assertRejects(
    async () => {
      for await (const chunk of untilAborted(body, stop.signal)) {
        seen.push(chunk.length);
        stop.abort(new LoraFleetError("conflict", "replaced"));
      }
    },
    LoraFleetError,
    "replaced",
  );
  assertEquals(seen, [1]);
});
