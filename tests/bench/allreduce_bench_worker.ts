/**
 * A worker of `allreduce_bench.ts`, in a process of its own as a real one is: two connections, the all-reduce in the main
 * thread, and an event loop that is watched. Does what it is asked over the control connection.
 */
import { cpuUsage } from "node:process";
import { crc32 } from "node:zlib";
import type { BusMessage } from "../../shared/bus/bus.ts";
import { connectNatsBus } from "../../shared/bus/nats_bus.ts";
import { systemClock } from "../../shared/clock.ts";
import { gradientSubjects } from "../../shared/protocol/subjects.ts";
import { createAllReduce } from "../../worker/allreduce/all_reduce.ts";
import type { AllReduce } from "../../worker/allreduce/all_reduce_interface.ts";
import { chunkPlan, defaultChunkBytes } from "../../worker/allreduce/plan/chunk_plan.ts";
import type { GradientCodec } from "../../worker/allreduce/codec/codecs.ts";
import { equalWeights, ownerRanges } from "../../worker/allreduce/plan/owner_ranges.ts";
import { measureEventLoopGap } from "../../worker/fleet/event_loop_gap.ts";
import { createBarePattern } from "./bare_pattern.ts";

/** One round that all workers do at the same time. */
export interface BenchOrder {
  readonly pattern: "all-reduce" | "bare";
  /** Unique and growing. */
  readonly number: number;
  readonly members: readonly string[];
  readonly elementCount: number;
  readonly chunkBytes: number | null;
  readonly codec: GradientCodec;
}

export interface BenchOutcome {
  /** On the machine's clock, in ms. */
  readonly endedAt: number;
  /** Of this process, in user and system mode. */
  readonly cpuMs: number;
  /** The longest time that the event loop stood still. */
  readonly maxGapMs: number;
  readonly bytesSent: number;
  readonly chunksRepeated: number;
  /** Whether the result is the sum; true where there is none, or none that is exact. */
  readonly isRight: boolean;
  /** CRC-32 of the result. */
  readonly checksum: number;
}

const JOB = "ftjob-bench";
const TICK_MS = 5;

/** Milliseconds since the epoch, finer than `Date.now`. */
export const preciseNow = () => performance.timeOrigin + performance.now();

async function main(url: string, self: string, index: number): Promise<void> {
  const onError = (message: string, thrown: unknown) => console.error(message, thrown);
  const connect = (part: string) => connectNatsBus({ servers: url, name: `${self} ${part}`, onError });
  const [control, gradients] = await Promise.all([connect("control"), connect("gradients")]);
  const bare = createBarePattern(gradients, index);
  let allReduce: AllReduce | null = null;
  let words = new Int32Array();
  let order: BenchOrder | null = null;

  function allReduceOf({ chunkBytes, codec }: BenchOrder): AllReduce {
    return allReduce ??= createAllReduce({
      bus: gradients,
      jobId: JOB,
      self,
      subjects: gradientSubjects(JOB),
      codec,
      ...(chunkBytes === null ? {} : { chunkBytes }),
    });
  }

  async function prepare(next: BenchOrder): Promise<void> {
    order = next;
    const { elementCount, members, pattern, number, chunkBytes } = next;
    if (words.length !== elementCount) words = new Int32Array(elementCount);
    for (let at = 0; at < elementCount; at++) words[at] = (at & 0xffff) * (index + 1);
    allReduceOf(next);
    if (pattern === "bare") {
      const plan = chunkPlan(
        members.length,
        chunkBytes ?? defaultChunkBytes(elementCount, members.length),
        gradients.maxPayloadBytes,
      );
      const ranges = ownerRanges(elementCount, equalWeights(members.length));
      bare.prepare({ number, ranges, plan, words });
    }
    await gradients.flush();
  }

  async function run(startAt: number): Promise<BenchOutcome> {
    const { pattern, number, members, elementCount, codec } = order!;
    const allReduce = allReduceOf(order!);
    const round = { term: 1, step: number, attempt: 1, generation: 1 };
    await systemClock.sleep(Math.max(0, startAt - preciseNow()));
    const watching = new AbortController();
    const gap = measureEventLoopGap({ ...systemClock, now: preciseNow }, TICK_MS, watching.signal);
    const before = allReduce.stats;
    const cpuBefore = cpuUsage();
    let isRight = true;
    if (pattern === "bare") await bare.run();
    else {
      await allReduce.reduce({
        round,
        members,
        sums: words,
        signal: watching.signal,
        deadlineMs: 300_000,
      });
    }
    const endedAt = preciseNow();
    const { user, system } = cpuUsage(cpuBefore);
    watching.abort();
    allReduce.commit(round);
    if (pattern === "all-reduce" && codec === "exact") {
      const factor = members.length * (members.length + 1) / 2;
      for (let at = 0; at < elementCount && isRight; at++) isRight = words[at] === (at & 0xffff) * factor;
    }
    const { bytesSent, chunksRepeated } = allReduce.stats;
    return {
      endedAt,
      cpuMs: (user + system) / 1000,
      maxGapMs: gap.maxGapMs,
      bytesSent: bytesSent - before.bytesSent,
      chunksRepeated: chunksRepeated - before.chunksRepeated,
      isRight,
      checksum: pattern === "bare" ? 0 : crc32(new Uint8Array(words.buffer)),
    };
  }

  const on = <T>(verb: string, does: (argument: T) => Promise<unknown>) =>
    control.subscribe(`bench.${self}.${verb}`, ({ data, respond }: BusMessage) => {
      does(JSON.parse(new TextDecoder().decode(data)))
        .then((answer) => respond(new TextEncoder().encode(JSON.stringify(answer ?? null))))
        .catch((thrown) => console.error(`${self} cannot ${verb}`, thrown));
    });
  on("prepare", prepare);
  on("run", run);
  await control.flush();
}

if (import.meta.main) {
  const [url, self, index] = Deno.args;
  await main(url!, self!, Number(index));
}
