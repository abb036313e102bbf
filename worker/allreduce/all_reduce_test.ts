import { setImmediate } from "node:timers";
import { assert, assertEquals, assertGreater, assertRejects, assertStringIncludes } from "@std/assert";
import type { Bus } from "../../shared/bus/bus.ts";
import { createFakeClock, type FakeClock } from "../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../shared/testing/memory_bus.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import { gradientSubjects } from "../../shared/protocol/subjects.ts";
import { encodeFrame } from "../../shared/protocol/tensor_frame.ts";
import { createAllReduce } from "./all_reduce.ts";
import type { AllReduce, ReduceRequest } from "./all_reduce_interface.ts";
import { drive, faultyBus, plainSum, predictedBytes, randomSums } from "./all_reduce_fixture.ts";
import { termHash } from "./round/round_id.ts";
import { RoundTimeout } from "./round/round_timeout.ts";

const JOB = "ftjob-a";
const ROUND = { term: 1, step: 3, attempt: 1, generation: 7 };
const QUIET_MS = 40;

interface Fleet {
  readonly clock: FakeClock;
  readonly members: string[];
  readonly reduces: AllReduce[];
  readonly buses: Bus[];
  request(index: number, sums: Int32Array, other?: Partial<ReduceRequest>): Promise<Int32Array>;
  close(): void;
}

/** Members on one broker in memory; small chunks, so that small gradients have many. */
function fleetOf(
  size: number,
  options: {
    chunkBytes?: number;
    maxEarlyBytes?: number;
    wrap?: (bus: Bus, index: number) => Bus;
    yieldToEventLoop?: (index: number) => Promise<void>;
  } = {},
): Fleet {
  const { chunkBytes = 1024, maxEarlyBytes = 2 ** 20, wrap = (bus: Bus) => bus, yieldToEventLoop } = options;
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock });
  const members = Array.from({ length: size }, (_, index) => `w-${index}`);
  const buses = members.map((member, index) => wrap(broker.connect(member), index));
  const reduces = members.map((self, index) =>
    createAllReduce({
      bus: buses[index]!,
      jobId: JOB,
      self,
      subjects: gradientSubjects(JOB),
      clock,
      chunkBytes,
      quietMs: QUIET_MS,
      maxEarlyBytes,
      ...(yieldToEventLoop === undefined ? {} : { yieldToEventLoop: () => yieldToEventLoop(index) }),
    })
  );
  return {
    clock,
    members,
    reduces,
    buses,
    request: async (index, sums, other = {}) => {
      const request = {
        round: ROUND,
        members,
        sums,
        signal: new AbortController().signal,
        deadlineMs: 60_000,
      };
      return (await reduces[index]!.reduce({ ...request, ...other })).sums;
    },
    close: () => reduces.forEach((reduce) => reduce.close()),
  };
}

async function assertReduces(fleet: Fleet, all: Int32Array[], other: Partial<ReduceRequest> = {}) {
  const expected = plainSum(all);
  const results = await drive(
    fleet.clock,
    Promise.all(all.map((sums, index) => fleet.request(index, sums.slice(), other))),
  );
  for (const result of results) assert(equal(result, expected), "a member's result is not the sum");
}

function equal(a: Int32Array, b: Int32Array): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}

Deno.test("every member gets the plain sum, whatever the sizes, and sends what is predicted", async (t) => {
  for (const size of [1, 2, 3, 5]) {
    for (const elementCount of [0, 1, 3, 64, 100, 1000, 20_011]) {
      await t.step(`${size} members, ${elementCount} elements`, async () => {
        const fleet = fleetOf(size);
        await assertReduces(fleet, randomSums(size, elementCount, 31 * size + elementCount));
        const bytesSent = fleet.reduces.reduce((sum, { stats }) => sum + stats.bytesSent, 0);
        assertEquals(bytesSent, predictedBytes(elementCount, size));
        for (const { stats } of fleet.reduces) {
          const { bytesSent: _, linkBytesPerSecond: __, ...troubles } = stats;
          assertEquals(Object.values(troubles), [0, 0, 0, 0, 0, 0], JSON.stringify(troubles));
        }
        fleet.close();
      });
    }
  }
});

Deno.test("who did which micro-batch makes no difference to the sum", async () => {
  const microBatches = randomSums(7, 500, 5);
  const results: Int32Array[] = [];
  for (const owners of [[0, 1, 2, 0, 1, 2, 0], [2, 2, 2, 2, 2, 2, 2], [1, 0, 0, 2, 1, 1, 0]]) {
    const sums = [0, 1, 2].map((member) =>
      plainSum([new Int32Array(500), ...microBatches.filter((_, index) => owners[index] === member)])
    );
    const fleet = fleetOf(3);
    const all = await drive(fleet.clock, Promise.all(sums.map((own, index) => fleet.request(index, own))));
    results.push(all[1]!);
    fleet.close();
  }
  for (const result of results) assert(equal(result, plainSum(microBatches)));
});

Deno.test("ranges may differ in size", async () => {
  const fleet = fleetOf(3);
  await assertReduces(fleet, randomSums(3, 9000, 1), { weights: [5, 0, 2] });
  fleet.close();
});

Deno.test("lost, doubled, reordered and changed frames are survived, at any seed", async (t) => {
  const cases = [
    { name: "lost", faults: { drop: 0.2, duplicate: 0, corrupt: 0, reorder: 0 } },
    { name: "doubled", faults: { drop: 0, duplicate: 0.5, corrupt: 0, reorder: 0 } },
    { name: "reordered", faults: { drop: 0, duplicate: 0, corrupt: 0, reorder: 0.5 } },
    { name: "changed", faults: { drop: 0, duplicate: 0, corrupt: 0.2, reorder: 0 } },
    { name: "all at once", faults: { drop: 0.15, duplicate: 0.15, corrupt: 0.15, reorder: 0.3 } },
  ];
  for (const { name, faults } of cases) {
    for (const seed of [1, 2, 3]) {
      await t.step(`${name}, seed ${seed}`, async () => {
        const fleet = fleetOf(3, { wrap: (bus, index) => faultyBus(bus, faults, 100 * seed + index) });
        await assertReduces(fleet, randomSums(3, 12_000, seed));
        const total = (key: keyof AllReduce["stats"]) =>
          fleet.reduces.reduce((sum, { stats }) => sum + Number(stats[key]), 0);
        assertEquals(total("chunksRepeated") > 0, faults.drop + faults.corrupt + faults.reorder > 0);
        assertEquals(total("corruptFrames") > 0, faults.corrupt > 0);
        if (faults.duplicate > 0) assertGreater(total("duplicateFrames"), 0);
        assertEquals(total("mismatchedFrames"), 0);
        fleet.close();
      });
    }
  }
});

Deno.test("a late member finds the early frames; dropped ones are sent again", async (t) => {
  for (const maxEarlyBytes of [2 ** 20, 2048]) {
    await t.step(`room for ${maxEarlyBytes} bytes`, async () => {
      const fleet = fleetOf(3, { maxEarlyBytes });
      const all = randomSums(3, 6000, 9);
      const first = [0, 1].map((index) => fleet.request(index, all[index]!.slice()));
      for (let turn = 0; turn < 300; turn++) await fleet.clock.advance(1);
      const late = fleet.request(2, all[2]!.slice());
      const results = await drive(fleet.clock, Promise.all([...first, late]));
      for (const result of results) assert(equal(result, plainSum(all)));
      const { stats } = fleet.reduces[2]!;
      assertEquals(stats.droppedEarlyFrames > 0, maxEarlyBytes < 4 * 4000);
      fleet.close();
    });
  }
});

Deno.test("one round follows the other, while some are still in the one before", async () => {
  const fleet = fleetOf(3);
  const rounds = [1, 2, 3, 4].map((step) => randomSums(3, 3000, step));
  const run = async (index: number) => {
    const results: Int32Array[] = [];
    for (const [at, all] of rounds.entries()) {
      const round = { term: 1, step: at + 1, attempt: 1, generation: 7 };
      results.push(await fleet.request(index, all[index]!.slice(), { round }));
      // Each worker takes a different time for its update.
      await fleet.clock.sleep(7 * index);
    }
    return results;
  };
  const results = await drive(fleet.clock, Promise.all([0, 1, 2].map(run)));
  for (const own of results) own.forEach((sums, at) => assert(equal(sums, plainSum(rounds[at]!))));
  fleet.close();
});

Deno.test("an aborted attempt leaves nothing in the next one", async () => {
  const fleet = fleetOf(2);
  const [old, all] = [randomSums(2, 5000, 1), randomSums(2, 5000, 2)];
  const abort = new AbortController();
  const failed = fleet.request(0, old[0]!.slice(), { signal: abort.signal });
  await fleet.clock.advance(3);
  abort.abort(new LoraFleetError("aborted", "attempt 2 has begun"));
  await assertRejects(() => failed, LoraFleetError, "attempt 2 has begun");

  const round = { ...ROUND, attempt: 2 };
  await assertReduces(fleet, all, { round });
  // The frames of the first attempt had come early to the second worker, and were forgotten.
  assertEquals(fleet.reduces.map(({ stats }) => stats.mismatchedFrames), [0, 0]);
  fleet.close();
});

Deno.test("what came early to a round that is left is in no sum of the next one", async () => {
  // One member is slow to take what came early, so that it is in the middle of it when the membership changes.
  const fleet: Fleet = fleetOf(3, { yieldToEventLoop: (index) => fleet.clock.sleep(index === 2 ? 5 : 1) });
  const all = randomSums(3, 6000, 3);
  const abort = new AbortController();
  const enter = (index: number) =>
    assertRejects(() => fleet.request(index, all[index]!.slice(), { signal: abort.signal }), LoraFleetError);
  const first = [0, 1].map(enter);
  for (let turn = 0; turn < 300; turn++) await fleet.clock.advance(1);
  const late = enter(2);
  await fleet.clock.advance(12);
  abort.abort(new LoraFleetError("aborted", "a member is lost"));
  await Promise.all([...first, late]);
  await assertReduces(fleet, all, { round: { ...ROUND, generation: 8 } });
  fleet.close();
});

Deno.test("a deadline names the members that are missing", async () => {
  const fleet = fleetOf(3);
  const all = randomSums(3, 3000, 4);
  const errors = await drive(
    fleet.clock,
    Promise.all(
      [0, 1].map((index) =>
        assertRejects(() => fleet.request(index, all[index]!, { deadlineMs: 500 }), RoundTimeout)
      ),
    ),
  );
  for (const error of errors) {
    assertEquals([error.code, error.suspects], ["timeout", ["w-2"]]);
    assertStringIncludes(error.message, "step 3, attempt 1, generation 7");
    assertStringIncludes(error.message, "w-2 (4 of its sums, 4 of its finished range)");
  }
  fleet.close();
});

Deno.test("a worker of a round that was lost can be asked for chunks until the round is released", async () => {
  const lost = { count: 0 };
  // The first worker's last broadcast chunk is lost until it is requested.
  const wrap = (bus: Bus, index: number): Bus => ({
    ...bus,
    publish: (subject, data) => {
      if (index === 0 && subject.includes(".all_gather.") && lost.count++ >= 3) return;
      bus.publish(subject, data);
    },
  });
  const fleet = fleetOf(2, { wrap });
  const all = randomSums(2, 4 * 256 * 2, 4);
  const [first, second] = [0, 1].map((index) => fleet.request(index, all[index]!.slice()));
  const done = await drive(fleet.clock, first!);
  // The caller may give the result away, as to another thread.
  assert(done.buffer instanceof ArrayBuffer);
  structuredClone(done, { transfer: [done.buffer] });
  assert(equal(await drive(fleet.clock, second!), plainSum(all)));
  assertEquals(fleet.reduces[0]!.stats.chunksRepeated, 1);

  fleet.reduces[0]!.release(ROUND);
  const header = { ...ROUND, kind: "ack", codec: "i32", jobHash: termHash(JOB, "", ROUND.term) } as const;
  const place = { senderIndex: 1, ownerIndex: 0, chunkIndex: 0, chunkCount: 4, elementOffset: 0 };
  const again = encodeFrame({ ...header, ...place }, Int32Array.of(1, 0));
  fleet.buses[1]!.publish(gradientSubjects(JOB).ack(7, "w-0", "w-1"), again);
  await fleet.clock.advance(10);
  assertEquals(fleet.reduces[0]!.stats.staleFrames, 1);
  assertEquals(fleet.reduces[0]!.stats.chunksRepeated, 1);
  fleet.close();
});

Deno.test("frames of other workers, of a different start and of impossible places change nothing", async () => {
  const fleet = fleetOf(2);
  const all = randomSums(2, 1000, 4);
  const running = Promise.all([0, 1].map((index) => fleet.request(index, all[index]!.slice())));
  const subject = gradientSubjects(JOB).reduceScatter(7, "w-0", "w-1");
  const header = {
    ...ROUND,
    kind: "reduce_scatter",
    codec: "i32",
    jobHash: termHash(JOB, "", ROUND.term),
    senderIndex: 1,
    ownerIndex: 0,
    chunkIndex: 0,
    chunkCount: 2,
    elementOffset: 0,
  } as const;
  const payload = new Int32Array(256).fill(1);
  const { reduces, buses } = fleet;
  for (
    const wrong of [
      { chunkIndex: 2 },
      { chunkCount: 3 },
      { elementOffset: 64 },
      { senderIndex: 0 },
      { senderIndex: 5 },
      { ownerIndex: 1 },
      { kind: "state" },
    ] as const
  ) buses[1]!.publish(subject, encodeFrame({ ...header, ...wrong }, payload));
  buses[1]!.publish(subject, encodeFrame(header, payload.subarray(1)));
  // A chunk of a finished range, before our part of it was sent.
  const early = { kind: "all_gather", ownerIndex: 1, chunkIndex: 1, elementOffset: 768 } as const;
  buses[1]!.publish(subject, encodeFrame({ ...header, ...early }, payload.subarray(0, 232)));
  buses[1]!.publish(gradientSubjects(JOB).reduceScatter(7, "w-0", "w-x"), encodeFrame(header, payload));
  buses[1]!.publish(subject, encodeFrame({ ...header, jobHash: termHash(JOB, "s-2", ROUND.term) }, payload));
  buses[1]!.publish(subject, encodeFrame({ ...header, attempt: 0 }, payload));
  buses[1]!.publish(subject, new Uint8Array([1, 2, 3]));
  for (const result of await drive(fleet.clock, running)) assert(equal(result, plainSum(all)));
  const { mismatchedFrames, staleFrames, corruptFrames } = reduces[0]!.stats;
  assertEquals({ mismatchedFrames, staleFrames, corruptFrames }, {
    mismatchedFrames: 10,
    staleFrames: 1,
    corruptFrames: 1,
  });
  fleet.close();
});

Deno.test("a new term has rounds of its own, also under the same or smaller numbers", async () => {
  const fleet = fleetOf(2);
  const wrong = new Int32Array(500).fill(9);
  for (const [term, generation] of [[5, 7], [6, 7], [9, 2]] as const) {
    const round = { ...ROUND, term, generation };
    const all = randomSums(2, 1000, term);
    const running = Promise.all([0, 1].map((index) => fleet.request(index, all[index]!.slice(), { round })));
    // A late frame of the old term under the same numbers.
    for (const past of [5, 6, 9].filter((other) => other < term)) {
      const place = { senderIndex: 1, ownerIndex: 0, chunkIndex: 0, chunkCount: 2, elementOffset: 0 };
      const header = {
        ...round,
        kind: "reduce_scatter",
        codec: "i32",
        jobHash: termHash(JOB, "", past),
      } as const;
      const frame = encodeFrame({ ...header, ...place }, wrong.subarray(0, 256));
      fleet.buses[1]!.publish(gradientSubjects(JOB).reduceScatter(generation, "w-0", "w-1"), frame);
    }
    for (const result of await drive(fleet.clock, running)) assert(equal(result, plainSum(all)));
  }
  assertEquals(fleet.reduces[0]!.stats.staleFrames, 3);
  fleet.close();
});

Deno.test("a sender waits for acks when its window is full", async () => {
  let inFlight = 0;
  let most = 0;
  const wrap = (bus: Bus, index: number): Bus => ({
    ...bus,
    publish: (subject, data) => {
      if (index === 0 && subject.includes(".reduce_scatter.")) most = Math.max(most, ++inFlight);
      // All frames of the second worker are lost.
      if (index === 0) bus.publish(subject, data);
    },
  });
  const chunkBytes = 256 * 1024;
  const fleet = fleetOf(2, { chunkBytes, wrap, maxEarlyBytes: 2 ** 26 });
  const sums = new Int32Array(2 * 12 * 2 ** 18);
  const waiting = [0, 1].map((index) =>
    assertRejects(() => fleet.request(index, sums.slice(), { deadlineMs: 100 }), RoundTimeout)
  );
  await drive(fleet.clock, Promise.all(waiting));
  // 16 MiB of credit, half of it for sums: 32 chunks of the 48.
  assertEquals(most, 32);
  fleet.close();
});

Deno.test("the event loop turns between two chunks, also between those that came early", async () => {
  const sinceTurn = [0, 0];
  let most = 0;
  let turns = 0;
  const count = (index: number) => void (most = Math.max(most, ++sinceTurn[index]!));
  const wrap = (bus: Bus, index: number): Bus => ({
    ...bus,
    publish: (subject, data) => {
      if (!subject.includes(".ack.")) count(index);
      bus.publish(subject, data);
    },
  });
  const fleet = fleetOf(2, {
    wrap,
    yieldToEventLoop: (index) => {
      sinceTurn[index] = 0;
      turns++;
      // As the clock below does, so that each of its turns is one of a sender's, whatever the machine's load is.
      return new Promise((resolve) => void setImmediate(resolve));
    },
  });
  const all = randomSums(2, 8192, 1);
  const first = fleet.request(0, all[0]!.slice());
  for (let turn = 0; turn < 50; turn++) await fleet.clock.advance(1);
  await drive(fleet.clock, Promise.all([first, fleet.request(1, all[1]!.slice())]));
  // 16 chunks of each range, sent twice; 16 that came early.
  assertEquals([most, turns], [1, 16 * 4 + 16]);
  fleet.close();
});

Deno.test("invalid requests are refused", async (t) => {
  const fleet = fleetOf(2);
  const sums = new Int32Array(10);
  const refused = async (code: string, other: Partial<ReduceRequest>) => {
    const error = await assertRejects(() => fleet.request(0, sums, other), LoraFleetError);
    assertEquals(error.code, code);
  };
  await t.step("members", async () => {
    await refused("invalid_request", { members: [] });
    await refused("invalid_request", { members: ["w-1", "w-2"] });
    await refused("invalid_request", { members: ["w-1", "w-0"] });
    await refused("invalid_request", { members: ["w-0", "w-0", "w-1"] });
    await refused("invalid_request", { deadlineMs: 0 });
    await refused("invalid_request", { weights: [0, 0] });
  });
  await t.step("while a different round runs", async () => {
    const abort = new AbortController();
    const running = fleet.request(0, sums, { signal: abort.signal });
    await refused("conflict", { round: { ...ROUND, attempt: 2 } });
    abort.abort(new Error("enough"));
    await assertRejects(() => running, Error, "enough");
    await assertRejects(() => fleet.request(0, sums, { signal: abort.signal }), Error, "enough");
  });
  await t.step("after closing", async () => {
    const running = assertRejects(() => fleet.request(0, sums), LoraFleetError);
    fleet.reduces[0]!.close();
    assertEquals((await running).code, "aborted");
    await refused("aborted", {});
  });
  fleet.close();
});
