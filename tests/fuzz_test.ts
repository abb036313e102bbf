/**
 * Whatever comes over the wire: 100,000 damaged messages through the real decoders, and thousands into a coordinator and an
 * all-reduce that are at work. The seed is in each test's words when it fails, and decides everything.
 */
import { crc32 } from "node:zlib";
import { assert, assertEquals, assertLess } from "@std/assert";
import { createFleet } from "../coordinator/fleet/over_bus/fleet_over_bus.ts";
import type { JobObserver } from "../coordinator/fleet/fleet.ts";
import { createFakeClock } from "../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../shared/testing/memory_bus.ts";
import { systemClock } from "../shared/clock.ts";
import { LoraFleetError } from "../shared/errors.ts";
import { decodeMessage, encodeMessage } from "../shared/protocol/messages_codec.ts";
import { stepStateSchema } from "../shared/protocol/messages_coordinator.ts";
import { heartbeatSchema } from "../shared/protocol/messages_worker.ts";
import { pcg32, type Prng } from "../shared/prng.ts";
import * as subjects from "../shared/protocol/subjects.ts";
import { FRAME_HEADER_BYTES } from "../shared/protocol/tensor_frame.ts";
import { createAllReduce } from "../worker/allreduce/all_reduce.ts";
import { drive, plainSum, randomSums } from "../worker/allreduce/all_reduce_fixture.ts";
import { mutateBytes, mutateMessage } from "./fuzz/mutate.ts";
import type { Sample } from "./fuzz/sample.ts";
import { frameOf, HEARTBEAT, SAMPLES, WORDS } from "./fuzz/samples.ts";
import { LIMITS } from "../shared/protocol/limits.ts";
import { createMemoryArtifacts } from "./sim/memory_artifacts.ts";
import { createToyJob } from "./sim/toy_job.ts";

const SEED = 20260401;
const COUNT = 100_000;
/** For one message, on a machine whose cores are all busy. */
const LONGEST_MS = 2000;

/** Makes the checksum of a damaged frame right, so that what is behind it is looked at. */
function withChecksum(frame: Uint8Array): Uint8Array {
  if (frame.length < FRAME_HEADER_BYTES) return frame;
  const fixed = frame.slice();
  const sum = crc32(fixed.subarray(FRAME_HEADER_BYTES), crc32(fixed.subarray(0, 44)));
  new DataView(fixed.buffer).setUint32(44, sum, true);
  return fixed;
}

function mutated({ bytes, isMessage, name }: Sample, random: Prng): Uint8Array {
  if (isMessage) return mutateMessage(bytes, random);
  const damaged = mutateBytes(bytes, random);
  if (name === "micro-batch" || name === "work item" || random.below(2) === 0) return damaged;
  return withChecksum(damaged);
}

/** Null where the decoder refuses it, else the bytes of what it has made of it. */
function decoded(sample: Sample, bytes: Uint8Array, what: string): Uint8Array | null {
  const startedAt = systemClock.now();
  try {
    return sample.throughDecoder(bytes);
  } catch (thrown) {
    assert(thrown instanceof LoraFleetError, `${what}: ${thrown instanceof Error ? thrown.stack : thrown}`);
    assertEquals(thrown.code, "corrupt", `${what}: ${thrown.message}`);
    assertLess(thrown.message.length, 1000, `${what}: what is refused must not flood a log`);
    return null;
  } finally {
    assertLess(systemClock.now() - startedAt, LONGEST_MS, what);
  }
}

Deno.test(`${COUNT} damaged messages: refused as corrupt, or what they say is what is understood`, () => {
  const random = pcg32(SEED);
  let acceptedCount = 0;
  for (let count = 0; count < COUNT; count++) {
    const sample = SAMPLES[count % SAMPLES.length]!;
    const bytes = mutated(sample, random);
    const what = `seed ${SEED}, number ${count}, ${sample.name}`;
    const again = decoded(sample, bytes, what);
    if (again === null) continue;
    acceptedCount++;
    assertSame(sample, again, bytes, what);
  }
  assertEquals(({} as { polluted?: unknown }).polluted, undefined, "a prototype was changed");
  // Damage that nobody notices, such as another name of a GPU, is rare; if there were none, nothing would be damaged well.
  assert(acceptedCount > COUNT / 100 && acceptedCount < COUNT / 2, `${acceptedCount} were accepted`);
});

/** Of a binary every bit has a meaning; of JSON the value has. */
function assertSame({ isMessage }: Sample, again: Uint8Array, bytes: Uint8Array, what: string): void {
  if (!isMessage) return assert(same(again, bytes), what);
  const [understood, said] = [parsed(again), parsed(bytes)];
  assert(isWithin(said, understood), `${what}: ${new TextDecoder().decode(bytes).slice(0, 1000)}`);
}

/** Whether two values are the same but for fields that the first leaves out: parts of a job's spec have defaults. */
function isWithin(said: unknown, understood: unknown): boolean {
  if (typeof said !== "object" || said === null) return said === understood;
  if (typeof understood !== "object" || understood === null) return false;
  if (Array.isArray(said) && said.length !== (understood as unknown[]).length) return false;
  const [mine, other] = [new Map(Object.entries(said)), new Map(Object.entries(understood))];
  return mine.entries().every(([key, value]) => other.has(key) && isWithin(value, other.get(key)));
}

/** Numbers as the program has them: 1e999 is none, and −0 is written as 0. */
const parsed = (bytes: Uint8Array): unknown =>
  JSON.parse(new TextDecoder().decode(bytes), (_key, value) => value === 0 ? 0 : value);

Deno.test("every message is good as it is", () => {
  for (const sample of SAMPLES) {
    assertSame(sample, sample.throughDecoder(sample.bytes), sample.bytes, sample.name);
  }
});

const OBSERVER: JobObserver = {
  microBatchExcluded: () => {},
  starting: () => Promise.resolve({ step: 0, checkpointSteps: [] }),
  event: () => {},
  stepCommitted: () => Promise.resolve(),
  evaluated: () => Promise.resolve(),
  checkpointWritten: () => Promise.resolve(),
};

Deno.test("a coordinator at work: 3000 messages that are none, or in another's name, change nothing", async () => {
  const random = pcg32(SEED + 1);
  const clock = createFakeClock(1_700_000_000_000);
  const broker = createMemoryBroker({ clock });
  let defectCount = 0;
  const fleet = createFleet({
    ...{
      bus: broker.connect("coordinator"),
      clock,
      coordinatorId: "c-1",
      term: 1,
      artifacts: createMemoryArtifacts(),
    },
    newStartId: () => "s-1",
    // Each is to be told of, and nobody is thrown out.
    limits: {
      ...LIMITS,
      ...{ floodLogIntervalMs: 0, badMessagesUntilCut: Infinity, maxMessagesPerSecond: Infinity },
    },
    onDefect: (_message, thrown) => {
      assert(thrown instanceof LoraFleetError && thrown.code === "corrupt", String(thrown));
      defectCount++;
    },
  });
  const bus = broker.connect("w-a");
  const job = createToyJob({ totalSteps: 2, microBatchesPerStep: 4, checkpointEvery: 2 });
  const stop = new AbortController();
  const training = fleet.train(job, OBSERVER, stop.signal).catch(() => {});
  let state: unknown = null;
  bus.subscribe(
    subjects.stateSubject(job.id),
    ({ data }) => state = decodeMessage(stepStateSchema, data, "state"),
  );
  const beat = () => {
    const status = { ...HEARTBEAT.job!, jobId: job.id } as typeof HEARTBEAT.job;
    const heartbeat = { ...HEARTBEAT, job: status };
    bus.publish(subjects.heartbeatSubject("w-a"), encodeMessage(heartbeatSchema, heartbeat));
  };
  await bus.request(subjects.helloSubject("w-a"), WORDS.hello.bytes, 1000);
  for (let second = 0; second < 10; second++) {
    beat();
    await clock.advance(500);
  }
  assertEquals((state as { phase: string }).phase, "compute");
  const view = () => ({ workers: fleet.workers().map(({ lastHeartbeatAt: _at, ...rest }) => rest), state });
  const before = view();

  const places: [Sample, (worker: string) => string][] = [
    [WORDS.hello, subjects.helloSubject],
    [WORDS.leave, subjects.leaveSubject],
    [WORDS.heartbeat, subjects.heartbeatSubject],
    [WORDS.report, (worker) => subjects.reportSubject(job.id, worker)],
    [WORDS.audit, (worker) => subjects.reportSubject(job.id, worker)],
    [WORDS.evaluation, (worker) => subjects.evaluationSubject(job.id, worker)],
    [WORDS.item, (worker) => subjects.itemSubject(job.id, worker)],
    [WORDS.update, (worker) => subjects.updateSubject(job.id, worker)],
    [WORDS.failure, (worker) => subjects.failureSubject(job.id, worker)],
    [WORDS.checkpoint, (worker) => subjects.checkpointSubject(job.id, worker)],
  ];
  let sent = 0;
  for (let count = 0; sent < 3000; count++) {
    const [sample, subject] = places[count % places.length]!;
    const bytes = mutateMessage(sample.bytes, random);
    // What is still a message is one of a worker that may say so.
    const isMessage = decoded(sample, bytes, `seed ${SEED + 1}, number ${count}`) !== null;
    bus.publish(subject(isMessage ? "w-b" : "w-a"), bytes);
    sent++;
    if (count % 500 === 0) {
      beat();
      await clock.advance(250);
    }
  }
  beat();
  await clock.advance(1000);
  assertEquals(view(), before);
  assertEquals(defectCount, sent);
  stop.abort();
  await training;
  fleet.close();
});

Deno.test("an all-reduce at work: 3000 damaged frames, and the sum is the sum", async () => {
  const random = pcg32(SEED + 2);
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock });
  const members = ["w-0", "w-1", "w-2"];
  const places = subjects.gradientSubjects("ftjob-a");
  const buses = members.map((member) => broker.connect(member));
  const reduces = members.map((self, index) =>
    createAllReduce({
      ...{
        bus: buses[index]!,
        jobId: "ftjob-a",
        self,
        subjects: places,
        clock,
        chunkBytes: 256,
        quietMs: 40,
      },
      maxEarlyBytes: 2 ** 16,
    })
  );
  const all = randomSums(3, 1000, SEED);
  const running = Promise.all(reduces.map(async (reduce, index) =>
    (await reduce.reduce({
      ...{ round: { term: 1, generation: 7, step: 3, attempt: 1 }, members, sums: all[index]!.slice() },
      ...{ signal: new AbortController().signal, deadlineMs: 60_000 },
    })).sums
  ));
  const intruder = broker.connect("intruder");
  for (let count = 0; count < 3000; count++) {
    const kind = (["reduce_scatter", "all_gather", "ack"] as const)[random.below(3)]!;
    const target = members[random.below(3)]!;
    // Damaged, or of a size and place that there is not, under a member's name; or whole, under another name than it bears.
    const whole = frameOf(kind, { senderIndex: random.below(4), chunkIndex: random.below(6) });
    const damaged = mutateBytes(whole, random);
    const isForeign = random.below(4) === 0;
    const frame = isForeign ? whole : random.below(2) === 0 ? withChecksum(damaged) : damaged;
    const sender = isForeign ? "w-9" : members[random.below(3)]!;
    const subject = kind === "ack"
      ? places.ack(7, target, sender)
      : kind === "all_gather"
      ? places.allGather(7, sender)
      : places.reduceScatter(7, target, sender);
    intruder.publish(subject, frame);
  }
  for (const result of await drive(clock, running)) assert(same(result, plainSum(all)), `seed ${SEED + 2}`);
  const { corruptFrames, mismatchedFrames } = reduces[0]!.stats;
  assert(
    corruptFrames > 300 && mismatchedFrames > 50,
    `${corruptFrames} and ${mismatchedFrames} were noticed`,
  );
  for (const reduce of reduces) reduce.close();
});

function same(one: Int32Array | Uint8Array, other: Int32Array | Uint8Array): boolean {
  return one.length === other.length && one.every((value, index) => value === other[index]);
}
