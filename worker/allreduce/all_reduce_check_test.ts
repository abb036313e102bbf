import { assert, assertEquals } from "@std/assert";
import type { Bus } from "../../shared/bus/bus.ts";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../shared/testing/memory_bus.ts";
import {
  addChecksum,
  addWords,
  CHECK_WORDS,
  checkWeights,
  sumOfWords,
} from "../../shared/protocol/linear_check.ts";
import { gradientSubjects } from "../../shared/protocol/subjects.ts";
import { createAllReduce } from "./all_reduce.ts";
import { drive, faultyBus, randomSums } from "./all_reduce_fixture.ts";
import type { GradientCodec } from "./codec/codecs.ts";
import type { ReduceResult } from "./all_reduce_interface.ts";

const SEED = 4_000_000_001;

async function reduced(
  all: readonly Int32Array[],
  codec: GradientCodec,
  wrap: (bus: Bus, index: number) => Bus,
): Promise<ReduceResult[]> {
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock });
  const members = all.map((_, index) => `w-${index}`);
  const reduces = members.map((self, index) =>
    createAllReduce({
      ...{ bus: wrap(broker.connect(self), index), jobId: "ftjob-a", self, clock, codec },
      ...{ subjects: gradientSubjects("ftjob-a"), chunkBytes: 1024, quietMs: 40 },
    })
  );
  const round = { term: 1, step: 3, attempt: 1, generation: 7 };
  const results = await drive(
    clock,
    Promise.all(reduces.map((reduce, index) =>
      reduce.reduce({
        ...{ round, members, sums: all[index]!.slice(), checkSeed: SEED, deadlineMs: 60_000 },
        signal: new AbortController().signal,
      })
    )),
  );
  for (const reduce of reduces) reduce.close();
  return results;
}

const pairOf = (words: Int32Array, index: number) => [...words.subarray(2 * index, 2 * index + 2)];

for (const codec of ["exact", "int8"] as const) {
  for (const [workerCount, elementCount] of [[2, 100], [3, 5000], [5, 20_011], [4, 64]] as const) {
    Deno.test(`${codec}, ${workerCount} members, ${elementCount} elements: what was given, got and summed agrees`, async () => {
      const all = randomSums(workerCount, elementCount, 3);
      const weather = { drop: 0.05, duplicate: 0.1, corrupt: 0.05, reorder: 0.2 };
      const results = await reduced(all, codec, (bus, index) => faultyBus(bus, weather, index + 1));
      const checks = results.map(({ checksums }) => checksums!);
      checks.forEach(({ received, total, result }, owner) => {
        checks.forEach(({ given, result: other }, member) => {
          assertEquals(pairOf(given, owner), pairOf(received, member));
          assertEquals(pairOf(other, owner), pairOf(result, owner));
        });
        assertEquals(sumOfWords(received), total);
        if (codec === "exact") assertEquals(pairOf(result, owner), [...total]);
      });
      const whole = new Int32Array(CHECK_WORDS);
      addChecksum(checkWeights(SEED), 0, results[0]!.sums, whole);
      assertEquals(sumOfWords(checks[0]!.result), whole);
      if (codec === "int8") return;
      const given = new Int32Array(CHECK_WORDS);
      checks.forEach((check, member) => {
        const own = new Int32Array(CHECK_WORDS);
        addChecksum(checkWeights(SEED), 0, all[member]!, own);
        assertEquals(sumOfWords(check.given), own);
        addWords(given, 0, own, 0);
      });
      assertEquals(given, whole);
    });
  }
}

Deno.test("a worker that is alone has no checksums", async () => {
  const [result] = await reduced(randomSums(1, 100, 1), "exact", (bus) => bus);
  assert(result!.checksums === null);
});
