import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import type { Arriving } from "../async/arrival.ts";
import { turnOfEventLoop } from "../async/turn.ts";
import { type ArrivingSums, withSums } from "./arriving_sums.ts";

/** A reading that the test drives. */
function reader() {
  const sums = new Int32Array(8);
  const { promise, resolve, reject } = Promise.withResolvers<Int32Array>();
  const told: { arriving: Arriving | undefined } = { arriving: undefined };
  const readSums = (arriving?: Arriving) => {
    told.arriving = arriving;
    return promise;
  };
  return {
    engine: { readSums },
    sums,
    reach: (count: number) => told.arriving!.reach(sums, count),
    end: () => resolve(sums),
    fail: () => reject(new LoraFleetError("gpu_failure", "device lost")),
  };
}

const { signal } = new AbortController();

Deno.test("an engine that tells nothing: its sums are used when they are there, all of them", async () => {
  const { engine, sums, end } = reader();
  let used: ArrivingSums | null = null;
  const running = withSums(engine, signal, (own) => Promise.resolve(used = own));
  await turnOfEventLoop();
  assertEquals(used, null);
  end();
  assertEquals(await running, { sums, arrival: undefined });
});

Deno.test("sums are used from their first piece on, and the end waits for the reading's", async () => {
  for (const isAborted of [false, true]) {
    const { engine, sums, reach, end } = reader();
    const events: unknown[] = [];
    const running = withSums(engine, signal, (own) => {
      events.push(own.sums === sums, own.arrival?.count);
      return isAborted
        ? Promise.reject(new LoraFleetError("aborted", "members changed"))
        : own.arrival!.whole;
    }).then(() => events.push("done"), (thrown) => events.push(thrown.message));
    reach(3);
    await turnOfEventLoop();
    reach(8);
    await turnOfEventLoop();
    assertEquals(events, [true, 3]);
    end();
    await running;
    assertEquals(events.slice(2), [isAborted ? "members changed" : "done"]);
  }
});

Deno.test("a reading that fails ends what uses its sums with its error, before the first piece and after it", async () => {
  for (const count of [0, 5]) {
    const { engine, reach, fail } = reader();
    const running = withSums(
      engine,
      signal,
      (_, either) =>
        new Promise((_, reject) => either.addEventListener("abort", () => reject(either.reason))),
    );
    if (count > 0) reach(count);
    await turnOfEventLoop();
    fail();
    const thrown = await assertRejects(() => running, LoraFleetError, "device lost");
    assertEquals(thrown.code, "gpu_failure");
  }
});
