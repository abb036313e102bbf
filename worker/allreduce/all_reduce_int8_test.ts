import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import type { Bus } from "../../shared/bus/bus.ts";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../shared/testing/memory_bus.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { gradientSubjects } from "../../shared/protocol/subjects.ts";
import { createAllReduce } from "./all_reduce.ts";
import { drive, faultyBus, plainSum, randomSums } from "./all_reduce_fixture.ts";
import type { GradientCodec } from "./codec/codecs.ts";
import type { SumsUnit } from "./codec/error_feedback.ts";

const JOB = "ftjob-a";
const DEADLINE_MS = 60_000;

/** Members with int8 on one broker in memory. */
function fleetOf(
  size: number,
  wrap: (bus: Bus, index: number) => Bus = (bus) => bus,
  codecs: readonly GradientCodec[] = new Array<GradientCodec>(size).fill("int8"),
) {
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock });
  const members = Array.from({ length: size }, (_, index) => `w-${index}`);
  const reduces = members.map((self, index) =>
    createAllReduce({
      bus: wrap(broker.connect(self), index),
      jobId: JOB,
      self,
      subjects: gradientSubjects(JOB),
      clock,
      codec: codecs[index]!,
      chunkBytes: 1024,
      quietMs: 40,
    })
  );
  const roundOf = (step: number, attempt = 1) => ({ term: 1, step, attempt, generation: 1 });
  return {
    clock,
    reduces,
    roundOf,
    /** One attempt of a step, with its outcome still open. */
    attempt: async (
      all: readonly Int32Array[],
      step: number,
      options: { attempt?: number; units?: readonly SumsUnit[]; members?: readonly string[] } = {},
    ): Promise<Int32Array[]> => {
      const { attempt = 1, units } = options;
      const results = await drive(
        clock,
        Promise.all(all.map((sums, index) =>
          reduces[index]!.reduce({
            round: roundOf(step, attempt),
            members: options.members ?? members,
            sums: sums.slice(),
            ...(units === undefined ? {} : { units }),
            signal: new AbortController().signal,
            deadlineMs: DEADLINE_MS,
          })
        )),
      );
      return results.map(({ sums }) => sums);
    },
    settle: (step: number, isCommitted: boolean) => {
      for (const reduce of reduces) {
        if (isCommitted) reduce.commit(roundOf(step));
        reduce.release(roundOf(step));
      }
    },
    close: () => reduces.forEach((reduce) => reduce.close()),
  };
}

function assertSame(results: readonly Int32Array[]): void {
  for (const result of results) assert(isEqual(result, results[0]!), "replicas differ");
}

const isEqual = (a: Int32Array, b: Int32Array) =>
  a.length === b.length && a.every((value, index) => value === b[index]);

/** The largest |number|. */
const peakOf = (values: ArrayLike<number>) =>
  Array.prototype.reduce.call(values, (peak: unknown, value) => Math.max(Number(peak), Math.abs(value)), 0);

function errorOf(result: Int32Array, expected: Int32Array): number {
  return Number(peakOf(Float64Array.from(result, (value, index) => value - expected[index]!)));
}

Deno.test("replicas agree to the bit, near the sum, with a quarter of the bytes, whatever the sizes", async (t) => {
  for (const size of [2, 3, 5]) {
    for (const elementCount of [0, 1, 100, 1000, 20_011]) {
      await t.step(`${size} members, ${elementCount} elements`, async () => {
        const fleet = fleetOf(size);
        const all = randomSums(size, elementCount, size + elementCount);
        const results = await fleet.attempt(all, 1);
        assertSame(results);
        // Half a scale is lost of each addend, and of the total.
        const most = size * 2 ** 31 / 127;
        assertLess(errorOf(results[0]!, plainSum(all)), most);
        const bytesSent = fleet.reduces.reduce((sum, { stats }) => sum + stats.bytesSent, 0);
        if (elementCount >= 1000) assertLess(bytesSent, 0.28 * 4 * elementCount * size);
        for (const { stats } of fleet.reduces) assertEquals(stats.mismatchedFrames, 0);
        fleet.close();
      });
    }
  }
});

Deno.test("lost, doubled, reordered and changed frames: replicas agree, and on what they would have agreed on", async (t) => {
  const all = randomSums(3, 12_000, 5);
  const quiet = fleetOf(3);
  const [expected] = await quiet.attempt(all, 1);
  quiet.close();
  for (const seed of [1, 2, 3]) {
    await t.step(`seed ${seed}`, async () => {
      const faults = { drop: 0.15, duplicate: 0.15, corrupt: 0.15, reorder: 0.3 };
      const fleet = fleetOf(3, (bus, index) => faultyBus(bus, faults, 100 * seed + index));
      const results = await fleet.attempt(all, 1);
      assertSame([expected!, ...results]);
      fleet.close();
    });
  }
});

Deno.test("what is lost is late, not lost: the error of all steps together stays that of one", async () => {
  const fleet = fleetOf(3);
  const elementCount = 3000;
  // One large element in each block: without feedback all others would be 0 for ever.
  const all = randomSums(3, elementCount, 8).map((sums) =>
    sums.map((value, index) => index % 256 === 0 ? 2 ** 24 : value >> 14)
  );
  const exact = plainSum(all);
  const total = new Float64Array(elementCount);
  const steps = 30;
  for (let step = 1; step <= steps; step++) {
    const results = await fleet.attempt(all, step);
    assertSame(results);
    results[0]!.forEach((value, index) => total[index]! += value);
    fleet.settle(step, true);
  }
  const scale = 3 * 2 ** 24 / 127;
  const errors = total.map((value, index) => value - steps * exact[index]!);
  assertLess(Number(peakOf(errors)), 3 * scale);
  // Without feedback it would be that of one step, times the steps.
  assertLess(3 * scale, steps * Number(peakOf(exact.filter((_, index) => index % 256 !== 0))));
  fleet.close();
});

Deno.test("an attempt that was not committed leaves no trace", async () => {
  const [first, undone, second] = [1, 2, 3].map((seed) => randomSums(2, 3000, seed));
  const run = async (withUndone: boolean) => {
    const fleet = fleetOf(2);
    await fleet.attempt(first!, 1);
    fleet.settle(1, true);
    if (withUndone) {
      await fleet.attempt(undone!, 2);
      fleet.settle(2, false);
    }
    const [result] = await fleet.attempt(second!, 2, { attempt: 2 });
    fleet.close();
    return result!;
  };
  assert(isEqual(await run(true), await run(false)));
});

Deno.test("a failed round cannot be committed", async () => {
  const fleet = fleetOf(2);
  const [first, second] = [1, 2].map((seed) => randomSums(2, 3000, seed));
  const abort = new AbortController();
  const failed = fleet.reduces[0]!.reduce({
    round: fleet.roundOf(1),
    members: ["w-0", "w-1"],
    sums: first![0]!.slice(),
    signal: abort.signal,
    deadlineMs: DEADLINE_MS,
  });
  await fleet.clock.advance(5);
  abort.abort(new LoraFleetError("aborted", "enough"));
  await assertRejects(() => failed, LoraFleetError, "enough");
  fleet.reduces[0]!.commit(fleet.roundOf(1));
  const [result] = await fleet.attempt(second!, 2);
  const fresh = fleetOf(2);
  assertSame([result!, ...await fresh.attempt(second!, 2)]);
  fleet.close();
  fresh.close();
});

Deno.test("sums in other units at the next step: the same part of the gradient is carried over", async () => {
  const all = randomSums(2, 2000, 4).map((sums) => sums.map((value) => value >> 8));
  const halved = all.map((sums) => sums.map((value) => 2 * value));
  const run = async (second: readonly Int32Array[], exponent: number) => {
    const fleet = fleetOf(2);
    await fleet.attempt(all, 1, { units: [{ offset: 0, exponent: -10 }] });
    fleet.settle(1, true);
    const [result] = await fleet.attempt(second, 2, { units: [{ offset: 0, exponent }] });
    fleet.close();
    return result!;
  };
  const [same, half] = [await run(all, -10), await run(halved, -11)];
  // Twice as many units of half the size; codes round at other places by no more than a unit.
  assertLess(errorOf(half, same.map((value) => 2 * value)), 8);
});

Deno.test("a worker left alone adds the carried errors, and loses nothing", async () => {
  const fleet = fleetOf(2);
  const all = randomSums(2, 3000, 4).map((sums) => sums.map((value) => value >> 4));
  const results = await fleet.attempt(all, 1);
  fleet.settle(1, true);
  const lost = errorOf(results[0]!, plainSum(all));
  assert(lost > 0);
  const alone = async (step: number) => {
    const [result] = await fleet.attempt([all[0]!], step, { members: ["w-0"] });
    return result!;
  };
  const first = await alone(2);
  assert(!isEqual(first, all[0]!), "nothing was carried over");
  assert(isEqual(await alone(3), first), "it was carried over, and not committed");
  fleet.reduces[0]!.commit(fleet.roundOf(3));
  assert(isEqual(await alone(4), all[0]!), "it was added twice");
  fleet.close();
});

Deno.test("members with different codecs do not take each other's frames", async () => {
  const fleet = fleetOf(2, (bus) => bus, ["exact", "int8"]);
  const all = randomSums(2, 3000, 4);
  const errors = await drive(
    fleet.clock,
    Promise.all(all.map((sums, index) =>
      assertRejects(() =>
        fleet.reduces[index]!.reduce({
          round: fleet.roundOf(1),
          members: ["w-0", "w-1"],
          sums: sums.slice(),
          signal: new AbortController().signal,
          deadlineMs: 500,
        }), LoraFleetError)
    )),
  );
  assertEquals(errors.map(({ code }) => code), ["timeout", "timeout"]);
  for (const { stats } of fleet.reduces) assert(stats.mismatchedFrames > 0);
  fleet.close();
});
