/** Rounds that begin while this worker's own sums still come. Elements that are not there hold a number that spoils every sum. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Bus } from "../../shared/bus/bus.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { gradientSubjects } from "../../shared/protocol/subjects.ts";
import { decodeFrame } from "../../shared/protocol/tensor_frame.ts";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../shared/testing/memory_bus.ts";
import { Arrival } from "../async/arrival.ts";
import { createAllReduce } from "./all_reduce.ts";
import type { ReduceRequest } from "./all_reduce_interface.ts";
import { drive, faultyBus, plainSum, predictedBytes, randomSums } from "./all_reduce_fixture.ts";
import type { GradientCodec } from "./codec/codecs.ts";
import { RoundTimeout } from "./round/round_timeout.ts";

const JOB = "ftjob-a";
const NOT_THERE = 0x55555555;
const DEADLINE_MS = 60_000;

/** Members on one broker in memory; chunks of 256 elements. `sent` has each frame that a member published, but for acks. */
function fleetOf(size: number, codec: GradientCodec = "exact", wrap = (bus: Bus, _: number) => bus) {
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock });
  const members = Array.from({ length: size }, (_, index) => `w-${index}`);
  const sent: string[][] = members.map(() => []);
  const reduces = members.map((self, index) => {
    const bus = wrap(broker.connect(self), index);
    const publish = (subject: string, data: Uint8Array) => {
      const { kind, ownerIndex, chunkIndex } = decodeFrame(data);
      if (kind !== "ack") sent[index]!.push(`${kind} ${ownerIndex}.${chunkIndex}`);
      bus.publish(subject, data);
    };
    const parts = { jobId: JOB, self, subjects: gradientSubjects(JOB), clock };
    return createAllReduce({ bus: { ...bus, publish }, ...parts, codec, chunkBytes: 1024, quietMs: 40 });
  });
  const roundOf = (step: number, generation = 1) => ({ term: 1, step, attempt: 1, generation });
  const reduce = async (index: number, sums: Int32Array, other: Partial<ReduceRequest> = {}) => {
    const request = { round: roundOf(1), members, signal: new AbortController().signal, sums };
    return (await reduces[index]!.reduce({ ...request, deadlineMs: DEADLINE_MS, ...other })).sums;
  };
  const close = () => reduces.forEach((it) => it.close());
  return { clock, members, sent, reduces, roundOf, reduce, close };
}

/** An array into which `source` comes as far as `upTo` says. */
function arriving(source: Int32Array, target = new Int32Array(source.length)) {
  const arrival = new Arrival();
  target.fill(NOT_THERE);
  const upTo = (count: number) => {
    target.set(source.subarray(arrival.count, count), arrival.count);
    arrival.reach(target, count);
  };
  return { arrival, target, upTo };
}

type Fleet = ReturnType<typeof fleetOf>;

/** Lets every member do all that it can, in less than the time after which it asks for chunks. */
async function somewhat({ clock }: Fleet): Promise<void> {
  for (let turn = 0; turn < 30; turn++) await clock.advance(1);
}

/** A round in which each member's sums come in pieces of its own size, some milliseconds apart. */
async function roundInPieces(fleet: Fleet, all: readonly Int32Array[], step = 1): Promise<Int32Array[]> {
  return await drive(
    fleet.clock,
    Promise.all(all.map(async (source, index) => {
      const { arrival, target, upTo } = arriving(source);
      const reading = (async () => {
        for (let from = 0; from < source.length; from += 150 + 200 * index) {
          upTo(from);
          await fleet.clock.sleep(3 * index + 1);
        }
        upTo(source.length);
      })();
      const result = await fleet.reduce(index, target, { arrival, round: fleet.roundOf(step) });
      await reading;
      return result;
    })),
  );
}

Deno.test("sums that come in pieces, at each member in its own time: the plain sum, and no byte more", async () => {
  for (const [size, elementCount] of [[2, 5000], [3, 20_011], [5, 1000]] as const) {
    const fleet = fleetOf(size);
    const all = randomSums(size, elementCount, 7 * size);
    for (const result of await roundInPieces(fleet, all)) assertEquals(result, plainSum(all));
    const counts = fleet.reduces.map(({ stats }) => stats);
    assertEquals(
      counts.reduce((sum, { bytesSent }) => sum + bytesSent, 0),
      predictedBytes(elementCount, size),
    );
    for (const { duplicateFrames, mismatchedFrames, droppedEarlyFrames, chunksRepeated } of counts) {
      assertEquals([duplicateFrames, mismatchedFrames, droppedEarlyFrames, chunksRepeated], [0, 0, 0, 0]);
    }
    fleet.close();
  }
});

Deno.test("frames are lost, doubled, changed and reordered while the sums come", async () => {
  const faults = { drop: 0.1, duplicate: 0.1, corrupt: 0.05, reorder: 0.2 };
  for (let seed = 1; seed <= 5; seed++) {
    const fleet = fleetOf(3, "exact", (bus, index) => faultyBus(bus, faults, 10 * seed + index));
    const all = randomSums(3, 12_000, seed);
    for (const result of await roundInPieces(fleet, all)) assertEquals(result, plainSum(all));
    fleet.close();
  }
});

Deno.test("a chunk is sent when its last element is there, and not before", async () => {
  const fleet = fleetOf(2);
  const all = randomSums(2, 1024, 3);
  const { arrival, target, upTo } = arriving(all[0]!);
  upTo(1);
  const reducing = fleet.reduce(0, target, { arrival });
  const sentAt = async (count: number) => {
    upTo(count);
    await somewhat(fleet);
    return fleet.sent[0]!.length;
  };
  const counts: number[] = [];
  for (const count of [512, 767, 768, 1023]) counts.push(await sentAt(count));
  assertEquals([counts, fleet.sent[0]], [[0, 0, 1, 1], ["reduce_scatter 1.0"]]);
  assertEquals(await sentAt(1024), 2);
  const results = drive(fleet.clock, Promise.all([reducing, fleet.reduce(1, all[1]!.slice())]));
  for (const result of await results) assertEquals(result, plainSum(all));
  fleet.close();
});

Deno.test("peers' sums wait for exactly the own sums of their chunk, and are not confirmed before", async () => {
  const fleet = fleetOf(2);
  const all = randomSums(2, 1024, 4);
  const { arrival, target, upTo } = arriving(all[0]!);
  upTo(255);
  const reducing = [fleet.reduce(0, target, { arrival }), fleet.reduce(1, all[1]!.slice())];
  const sentAt = async (count: number) => {
    upTo(count);
    await somewhat(fleet);
    return fleet.sent[0]!.slice();
  };
  assertEquals(await sentAt(255), []);
  assertEquals(await sentAt(256), ["all_gather 0.0"]);
  assertEquals(await sentAt(511), ["all_gather 0.0"]);
  assertEquals(await sentAt(600), ["all_gather 0.0", "all_gather 0.1"]);
  upTo(1024);
  for (const result of await drive(fleet.clock, Promise.all(reducing))) assertEquals(result, plainSum(all));
  fleet.close();
});

Deno.test("checksums of a round in pieces are those of one at once", async () => {
  const all = randomSums(2, 3000, 5);
  const outcomes: unknown[] = [];
  for (const inPieces of [false, true]) {
    const fleet = fleetOf(2);
    const request = {
      round: fleet.roundOf(1),
      members: fleet.members,
      checkSeed: 9,
      deadlineMs: DEADLINE_MS,
    };
    const { signal } = new AbortController();
    const own = all.map((source) => {
      const { arrival, target, upTo } = arriving(source);
      upTo(inPieces ? 100 : 3000);
      if (inPieces) {
        for (let at = 1; at < 30; at++) fleet.clock.sleep(2 * at).then(() => upTo(100 * at + 100));
      }
      return { ...request, sums: target, signal, ...inPieces && { arrival } };
    });
    const running = Promise.all(own.map((it, index) => fleet.reduces[index]!.reduce(it)));
    outcomes.push((await drive(fleet.clock, running)).map(({ checksums }) => checksums));
    fleet.close();
  }
  assertEquals(outcomes[0], outcomes[1]);
});

Deno.test("with int8 the result and the carried errors of each step are those of sums that are there", async () => {
  const steps: Int32Array[][][] = [];
  for (const inPieces of [false, true]) {
    const fleet = fleetOf(3, "int8");
    steps.push([]);
    for (let step = 1; step <= 3; step++) {
      const all = randomSums(3, 12_000, step).map((sums) => sums.map((value) => value >> 8));
      const round = fleet.roundOf(step);
      const atOnce = () =>
        drive(fleet.clock, Promise.all(all.map((it, index) => fleet.reduce(index, it.slice(), { round }))));
      const results = inPieces ? await roundInPieces(fleet, all, step) : await atOnce();
      steps.at(-1)!.push(results.map((result) => result.slice()));
      for (const reduce of fleet.reduces) reduce.commit(round);
    }
    fleet.close();
  }
  assertEquals(steps[0], steps[1]);
});

Deno.test("a round that is aborted while its sums come, and the next one, which reads them into the same memory", async () => {
  const fleet = fleetOf(2);
  const all = randomSums(2, 4000, 6);
  const abort = new AbortController();
  const memory = new Int32Array(4000);
  const first = arriving(all[0]!, memory);
  first.upTo(2300); // one of the other's chunks goes out, and what is ready of the own range
  const over = assertRejects(
    () => fleet.reduce(0, memory, { arrival: first.arrival, signal: abort.signal }),
    LoraFleetError,
    "members changed",
  );
  const other = fleet.reduce(1, all[1]!.slice(), { signal: abort.signal }).catch(() => {});
  await somewhat(fleet);
  assert(
    memory.subarray(0, 1792).some((value, index) => value !== all[0]![index]),
    "no result was in its place",
  );
  abort.abort(new LoraFleetError("aborted", "members changed"));
  await Promise.all([over, other]);
  const sentBefore = fleet.sent[0]!.length;
  first.upTo(4000); // the reader comes to its end
  await fleet.clock.advance(5000);
  assertEquals(fleet.sent[0]!.length, sentBefore);

  const again = arriving(all[0]!, memory);
  again.upTo(1);
  const round = fleet.roundOf(1, 2);
  const running = [
    fleet.reduce(0, memory, { arrival: again.arrival, round }),
    fleet.reduce(1, all[1]!.slice(), { round }),
  ];
  await somewhat(fleet);
  again.upTo(3000);
  await somewhat(fleet);
  again.upTo(4000);
  for (const result of await drive(fleet.clock, Promise.all(running))) assertEquals(result, plainSum(all));
  fleet.close();
});

Deno.test("the deadline counts from the last piece: whom others wait for blames nobody", async () => {
  const fleet = fleetOf(2);
  const { arrival, target, upTo } = arriving(randomSums(1, 1000, 8)[0]!);
  upTo(10);
  let outcome: unknown = null;
  const reducing = fleet.reduce(0, target, { arrival, deadlineMs: 1000 }).catch((thrown) => outcome = thrown);
  await fleet.clock.advance(30_000);
  assertEquals(outcome, null);
  upTo(1000);
  await fleet.clock.advance(999);
  assertEquals(outcome, null);
  await fleet.clock.advance(2);
  await reducing;
  assert(outcome instanceof RoundTimeout);
  fleet.close();
});

Deno.test("a worker that is alone gets its sums when they are whole, or the reason why they never are", async () => {
  const fleet = fleetOf(1);
  const [source] = randomSums(1, 1000, 9) as [Int32Array];
  const { arrival, target, upTo } = arriving(source);
  upTo(999);
  let result: Int32Array | null = null;
  const reducing = fleet.reduce(0, target, { arrival }).then((sums) => result = sums);
  await fleet.clock.advance(100);
  assertEquals(result, null);
  upTo(1000);
  assertEquals(await reducing, source);

  const lost = new AbortController();
  const stuck = arriving(source);
  stuck.upTo(500);
  const round = fleet.roundOf(2);
  const failing = fleet.reduce(0, stuck.target, { arrival: stuck.arrival, signal: lost.signal, round });
  lost.abort(new LoraFleetError("gpu_failure", "device lost"));
  await assertRejects(() => failing, LoraFleetError, "device lost");
  fleet.close();
});
