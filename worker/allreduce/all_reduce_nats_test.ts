import { gradientSubjects } from "../../shared/protocol/subjects.ts";
import { assert, assertEquals } from "@std/assert";
import type { Bus } from "../../shared/bus/bus.ts";
import { connectNatsBus } from "../../shared/bus/nats_bus.ts";
import { startTestNatsServer } from "../../shared/testing/test_nats_server.ts";
import { systemClock } from "../../shared/clock.ts";
import { createAllReduce } from "./all_reduce.ts";
import { plainSum, predictedBytes, randomSums } from "./all_reduce_fixture.ts";

const members = ["w-a", "w-b", "w-c"];

async function connectAll(url: string): Promise<Bus[]> {
  const onError = (_message: string, thrown: unknown) => {
    throw thrown;
  };
  return await Promise.all(members.map((name) => connectNatsBus({ servers: url, name, onError })));
}

Deno.test("three workers reduce 16 MiB over a real broker, and their event loop turns meanwhile", async () => {
  await using server = await startTestNatsServer();
  const buses = await connectAll(server.url);
  const reduces = members.map((self, index) =>
    createAllReduce({ bus: buses[index]!, jobId: "ftjob-a", self, subjects: gradientSubjects("ftjob-a") })
  );
  // A chunk that is sent before the broker knows who listens is lost, and found again after the quiet time.
  await Promise.all(buses.map((bus) => bus.flush()));
  const elementCount = 4 * 2 ** 20;
  const all = randomSums(3, elementCount, 11);
  const expected = plainSum(all);
  let ticks = 0;
  const ticking = new AbortController();
  const watching = (async () => {
    for (;; ticks++) await systemClock.sleep(1, ticking.signal);
  })().catch(() => {});

  const results = await Promise.all(all.map((sums, index) =>
    reduces[index]!.reduce({
      round: { term: 1, step: 1, attempt: 1, generation: 1 },
      members,
      sums,
      signal: new AbortController().signal,
      deadlineMs: 60_000,
    })
  ));
  ticking.abort();
  await watching;
  for (const { sums } of results) assert(sums.every((value, index) => value === expected[index]));
  const bytesSent = reduces.reduce((sum, { stats }) => sum + stats.bytesSent, 0);
  assertEquals(bytesSent, predictedBytes(elementCount, 3));
  // 96 chunks pass through this thread; the clock has to be served between them.
  assert(ticks > 10, `only ${ticks} turns of a timer`);
  for (const reduce of reduces) reduce.close();
  for (const bus of buses) await bus.close();
});

Deno.test("a round outlives a broker that restarts in its midst", async () => {
  await using server = await startTestNatsServer();
  const buses = await connectAll(server.url);
  const reduces = members.map((self, index) =>
    createAllReduce({
      bus: buses[index]!,
      jobId: "ftjob-a",
      self,
      subjects: gradientSubjects("ftjob-a"),
      chunkBytes: 2 ** 16,
      quietMs: 100,
    })
  );
  const all = randomSums(3, 2 ** 20, 12);
  const expected = plainSum(all);
  const request = { round: { term: 1, step: 1, attempt: 1, generation: 1 }, members, deadlineMs: 60_000 };
  const { signal } = new AbortController();
  // The third one enters when the others have sent all they could to a broker that is then gone.
  const running = [0, 1].map((index) => reduces[index]!.reduce({ ...request, sums: all[index]!, signal }));
  await Promise.all(buses.map((bus) => bus.flush()));
  await server.restart();
  running.push(reduces[2]!.reduce({ ...request, sums: all[2]!, signal }));
  for (const { sums } of await Promise.all(running)) {
    assert(sums.every((value, index) => value === expected[index]));
  }
  for (const reduce of reduces) reduce.close();
  for (const bus of buses) await bus.close();
});
