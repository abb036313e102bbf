import { assertEquals } from "@std/assert";
import { createFakeClock } from "../../../../shared/testing/fake_clock.ts";
import type { StepState } from "../../../../shared/protocol/messages_coordinator.ts";
import { addMicroBatch, digestAfter, emptySums, INITIAL_DIGEST, type Sums, total } from "./contribution.ts";
import { createRounds, type RoundResult } from "./model_rounds.ts";
import { createTimetable } from "./timetable.ts";

/** Three members whose rounds take 2 s. */
function createWorld() {
  const clock = createFakeClock();
  const summed: string[] = [];
  const rounds = createRounds({
    timetable: createTimetable(clock),
    broker: { outBytesPerSecond: Infinity, inBytesPerSecond: Infinity },
    ...{ gradientBytes: 1000, repeatMs: 1000, onSummed: (digest: string) => summed.push(digest) },
  });
  const ids = ["w-a", "w-b", "w-c"];
  const state = (generation: number) =>
    ({
      ...{ startId: "s-1", term: 1, step: 1, attempt: 1, generation, weights: [1, 1, 1] },
      members: ids.map((worker) => ({ worker, incarnation: `i-${worker}` })),
    }) as unknown as StepState;
  const speed = { upBytesPerSecond: 500, downBytesPerSecond: 1e9, latencyMs: 0 };
  const members = ids.map((worker) => ({ worker, link: { speed, isReachable: true, isCut: false } }));
  const parts = ids.map((_, number): Sums => {
    const sums = emptySums();
    addMicroBatch(sums, number);
    return sums;
  });
  const ended: [number, string][] = [];
  const enter = (index: number, generation = 1) => {
    const take = (result: RoundResult) => ended.push([clock.now(), result.digestAfter(INITIAL_DIGEST)]);
    rounds.enter(state(generation), members[index]!, parts[index]!, take);
  };
  const reach = (index: number, isReachable: boolean, isCut = false) => {
    Object.assign(members[index]!.link, { isReachable, isCut });
    rounds.reachChanged(ids[index]!);
  };
  const digest = digestAfter(INITIAL_DIGEST, total(parts));
  return { clock, rounds, state, enter, reach, ended, summed, digest };
}

Deno.test("all members get the total once the bytes have arrived, counted from the last to enter", async () => {
  const { clock, rounds, state, enter, ended, summed, digest } = createWorld();
  enter(0);
  enter(2);
  await clock.advance(700);
  assertEquals(rounds.missingIn(state(1)), ["w-b"]);
  enter(1);
  await clock.advance(5000);
  assertEquals(ended, [[2700, digest], [2700, digest], [2700, digest]]);
  assertEquals(summed, [digest]);
});

Deno.test("a member out of reach for a while makes the others wait", async () => {
  const { clock, enter, reach, ended, rounds, state } = createWorld();
  for (const index of [0, 1, 2]) enter(index);
  await clock.advance(500);
  reach(1, false);
  await clock.advance(4000);
  assertEquals([ended, rounds.missingIn(state(1))], [[], ["w-b"]]);
  reach(1, true);
  await clock.advance(10_000);
  assertEquals(ended.map(([at]) => at), [6000, 6000, 6000]);
});

Deno.test("chunks lost in a cut are asked for again; cuts of several members cost no more than the longest", async () => {
  const { clock, enter, reach, ended } = createWorld();
  for (const index of [0, 1, 2]) enter(index);
  await clock.advance(1900);
  for (const index of [0, 1]) reach(index, false, true);
  await clock.advance(100);
  for (const index of [0, 1]) reach(index, true);
  await clock.advance(10_000);
  assertEquals(ended.map(([at]) => at), [3000, 3000, 3000]);
});

Deno.test("without one of them there is no sum, and each generation has a round of its own", async () => {
  const { clock, enter, ended, summed } = createWorld();
  enter(0);
  enter(1);
  await clock.advance(60_000);
  enter(0, 2);
  enter(1, 2);
  enter(2, 1);
  await clock.advance(60_000);
  assertEquals([ended, summed], [[], []]);
});
