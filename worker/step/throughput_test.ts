import { assertEquals } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { createThroughput } from "./throughput.ts";

Deno.test("tokens per second are those of the last half minute", async () => {
  const clock = createFakeClock();
  const throughput = createThroughput(clock);
  assertEquals(throughput.tokensPerSecond, 0);
  await clock.advance(10_000);
  throughput.add(1000);
  assertEquals(throughput.tokensPerSecond, 100);
  await clock.advance(20_000);
  throughput.add(2000);
  assertEquals(throughput.tokensPerSecond, 100);
  await clock.advance(10_000);
  assertEquals(throughput.tokensPerSecond, 2000 / 30);
  await clock.advance(60_000);
  assertEquals([throughput.tokensPerSecond, throughput.microBatchesDone], [0, 2]);
});
