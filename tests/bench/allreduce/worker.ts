/**
 * A worker of the all-reduce's benchmark, in its own process like a real one: two connections, the all-reduce in the main
 * thread, and a watched event loop. Receives its orders over the control connection.
 */
import { cpuUsage } from "node:process";
import { crc32 } from "node:zlib";
import type { Bus, BusMessage } from "../../../shared/bus/bus.ts";
import { connectNatsBus } from "../../../shared/bus/nats_bus.ts";
import { systemClock } from "../../../shared/clock.ts";
import { gradientSubjects } from "../../../shared/protocol/subjects.ts";
import { Arrival } from "../../../worker/async/arrival.ts";
import { createAllReduce } from "../../../worker/allreduce/all_reduce.ts";
import type { AllReduce } from "../../../worker/allreduce/all_reduce_interface.ts";
import { chunkPlan, defaultChunkBytes } from "../../../worker/allreduce/plan/chunk_plan.ts";
import type { GradientCodec } from "../../../worker/allreduce/codec/codecs.ts";
import { equalWeights, ownerRanges } from "../../../worker/allreduce/plan/owner_ranges.ts";
import { measureEventLoopGap } from "../../../worker/fleet/event_loop_gap.ts";
import { createBarePattern } from "./bare_pattern.ts";

/** One round that all workers run at the same time. */
export interface BenchOrder {
  /** `read-first`: an all-reduce that begins when all sums are there. */
  readonly pattern: "all-reduce" | "bare" | "read-first";
  /** Unique and growing. */
  readonly number: number;
  readonly members: readonly string[];
  readonly elementCount: number;
  readonly chunkBytes: number | null;
  readonly codec: GradientCodec;
  /** How long the sums take to come from a GPU; 0: they are there. */
  readonly readbackMs: number;
}

export interface BenchOutcome {
  /** By the machine's clock, in ms. */
  readonly endedAt: number;
  /** CPU time of this process, in user and system mode. */
  readonly cpuMs: number;
  /** The longest pause of the event loop. */
  readonly maxGapMs: number;
  readonly bytesSent: number;
  readonly chunksRepeated: number;
  /** False if the result should be the exact sum and is not. */
  readonly isRight: boolean;
  /** CRC-32 of the result. */
  readonly checksum: number;
}

interface BenchWorker {
  prepare(order: BenchOrder): Promise<void>;
  /** Runs the prepared order at `startAt`. */
  run(startAt: number): Promise<BenchOutcome>;
}

const JOB = "ftjob-bench";
const TICK_MS = 5;
const PIECE_BYTES = 2 ** 20;
const DEADLINE_MS = 300_000;

/** Milliseconds since the epoch, finer than `Date.now`. */
export const preciseNow = () => performance.timeOrigin + performance.now();

/** Small enough that the exact sum over all workers fits in an integer. */
const wordAt = (at: number) => at & 0xffff;

function isExactSum(words: Int32Array, memberCount: number): boolean {
  const factor = memberCount * (memberCount + 1) / 2;
  return words.every((word, at) => word === wordAt(at) * factor);
}

/** Sums that come in pieces of a mebibyte, as if another thread copied them. */
function comingIn(words: Int32Array, readbackMs: number): Arrival {
  const arrival = new Arrival();
  const startedAt = preciseNow();
  const pieces = Math.ceil(words.byteLength / PIECE_BYTES);
  const reading = async () => {
    for (let piece = 1; piece <= pieces; piece++) {
      await systemClock.sleep(Math.max(0, startedAt + readbackMs * piece / pieces - preciseNow()));
      arrival.reach(words, Math.min(words.length, piece * PIECE_BYTES / 4));
    }
  };
  void reading();
  return arrival;
}

function createBenchWorker(bus: Bus, self: string, index: number): BenchWorker {
  const bare = createBarePattern(bus, index);
  let allReduce: AllReduce | null = null;
  let words = new Int32Array();
  let order: BenchOrder | null = null;

  const allReduceOf = ({ chunkBytes, codec }: BenchOrder) =>
    allReduce ??= createAllReduce({
      bus,
      jobId: JOB,
      self,
      subjects: gradientSubjects(JOB),
      codec,
      ...(chunkBytes === null ? {} : { chunkBytes }),
    });

  return {
    async prepare(next) {
      order = next;
      const { elementCount, members: { length: count }, pattern, number, chunkBytes } = next;
      if (words.length !== elementCount) words = new Int32Array(elementCount);
      for (let at = 0; at < elementCount; at++) words[at] = wordAt(at) * (index + 1);
      allReduceOf(next);
      if (pattern === "bare") {
        const bytes = chunkBytes ?? defaultChunkBytes(elementCount, count);
        const plan = chunkPlan(count, bytes, bus.maxPayloadBytes);
        bare.prepare({ number, ranges: ownerRanges(elementCount, equalWeights(count)), plan, words });
      }
      await bus.flush();
    },

    async run(startAt) {
      const { pattern, number, members, codec, readbackMs } = order!;
      const reduction = allReduceOf(order!);
      const round = { term: 1, step: number, attempt: 1, generation: 1 };
      await systemClock.sleep(Math.max(0, startAt - preciseNow()));
      const watching = new AbortController();
      const gap = measureEventLoopGap({ ...systemClock, now: preciseNow }, TICK_MS, watching.signal);
      const before = reduction.stats;
      const cpuBefore = cpuUsage();
      if (pattern === "bare") await bare.run();
      else {
        const request = { round, members, sums: words, signal: watching.signal, deadlineMs: DEADLINE_MS };
        const arrival = readbackMs > 0 ? comingIn(words, readbackMs) : null;
        await (pattern === "read-first" ? arrival?.whole : arrival?.begun);
        const isBeside = arrival !== null && pattern === "all-reduce";
        await reduction.reduce({ ...request, ...isBeside && { arrival } });
      }
      const endedAt = preciseNow();
      const { user, system } = cpuUsage(cpuBefore);
      watching.abort();
      reduction.commit(round);
      const { bytesSent, chunksRepeated } = reduction.stats;
      return {
        endedAt,
        cpuMs: (user + system) / 1000,
        maxGapMs: gap.maxGapMs,
        bytesSent: bytesSent - before.bytesSent,
        chunksRepeated: chunksRepeated - before.chunksRepeated,
        isRight: pattern === "bare" || codec !== "exact" || isExactSum(words, members.length),
        checksum: pattern === "bare" ? 0 : crc32(new Uint8Array(words.buffer)),
      };
    },
  };
}

async function main(url: string, self: string, index: number): Promise<void> {
  const onError = (message: string, thrown: unknown) => console.error(message, thrown);
  const connect = (part: string) => connectNatsBus({ servers: url, name: `${self} ${part}`, onError });
  const [control, gradients] = await Promise.all([connect("control"), connect("gradients")]);
  const worker = createBenchWorker(gradients, self, index);
  const answer = <T>(verb: string, handle: (argument: T) => Promise<unknown>) =>
    control.subscribe(`bench.${self}.${verb}`, ({ data, respond }: BusMessage) => {
      handle(JSON.parse(new TextDecoder().decode(data)))
        .then((result) => respond(new TextEncoder().encode(JSON.stringify(result ?? null))))
        .catch((thrown) => console.error(`${self} cannot ${verb}`, thrown));
    });
  answer("prepare", worker.prepare);
  answer("run", worker.run);
  await control.flush();
}

if (import.meta.main) {
  const [url, self, index] = Deno.args;
  await main(url!, self!, Number(index));
}
