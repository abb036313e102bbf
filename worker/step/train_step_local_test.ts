import { assert, assertEquals, assertLess } from "@std/assert";
import { LIMITS } from "../../shared/protocol/limits.ts";
import type { Bus } from "../../shared/bus/bus.ts";
import type { InnerLoop } from "../../shared/protocol/inner_loop_codec.ts";
import { decodeMessage } from "../../shared/protocol/messages_codec.ts";
import { encodeInnerLoopItem, encodeWorkItem } from "../../shared/protocol/messages_work_item.ts";
import { type RowsRequest, rowsRequestSchema } from "../../shared/protocol/messages_worker.ts";
import * as subjects from "../../shared/protocol/subjects.ts";
import { committedOf, createWorld, isLoaded, maximaOf, type World } from "../testing/agent_fixture.ts";
import { JOB, microBatchOf } from "../testing/test_job.ts";
import { LocalStepsEngine } from "../local_steps/local_steps_engine.ts";
import { createToyEngine } from "../testing/toy_engine.ts";

const OUTER = { outerLearningRate: 0.7, outerMomentum: 0.9 };
/** Three inner steps of two micro-batches. */
const INNER_LOOP: InnerLoop = {
  innerSteps: [0, 1, 2].map((i) => ({ number: 10 + 2 * i, microBatchCount: 2, learningRate: 0.01 })),
};

type Answer = (request: RowsRequest, times: number) => Uint8Array | null;

const rowsFor = ({ step, attempt, index, number }: RowsRequest, change: { number?: number } = {}) =>
  encodeWorkItem(
    {
      jobId: JOB.jobId,
      startId: JOB.startId,
      specHash: JOB.specHash,
      step,
      attempt,
      index,
      number,
      audit: false,
      ...change,
    },
    microBatchOf(change.number ?? number),
  );

/** Answers requests for rows; `times` counts those of the same number. */
function serveRows(bus: Bus, answer: Answer): RowsRequest[] {
  const requests: RowsRequest[] = [];
  bus.subscribe(subjects.rowsSubject(JOB.jobId, subjects.ANY), ({ data, respond }) => {
    const request = decodeMessage(rowsRequestSchema, data, "request for rows");
    requests.push(request);
    const bytes = answer(request, requests.filter(({ number }) => number === request.number).length);
    if (bytes !== null) respond(bytes);
  });
  return requests;
}

async function inWorld(work: (world: World) => Promise<void>): Promise<void> {
  const world = await createWorld();
  try {
    world.coordinator.setJob({ ...JOB, localSteps: OUTER });
    await work(world);
  } finally {
    await world.close();
  }
}

async function startWorker(world: World, computeMs: number) {
  const delayMs = (call: string) => call === "computeGradient" ? computeMs : 0;
  const worker = world.start("w-a", {}, { delayMs });
  await world.until("it has loaded", () => isLoaded(worker));
  world.coordinator.announce({ committed: committedOf(worker), holders: ["w-a"] });
  return worker;
}

/** The inner loop as the first item of step 1. */
async function enqueueInnerLoop({ bus }: World): Promise<void> {
  const header = {
    ...{ jobId: JOB.jobId, startId: JOB.startId, specHash: JOB.specHash },
    ...{ step: 1, attempt: 1, index: 0, number: 10, audit: false },
  };
  await bus.enqueue(
    subjects.workSubject(JOB.jobId, 1, 1),
    encodeInnerLoopItem(header, INNER_LOOP),
    "inner loop",
  );
}

Deno.test("an inner loop is claimed like a micro-batch; lost, damaged or wrong rows are requested again", async () => {
  await inWorld(async (world) => {
    const { coordinator, bus } = world;
    const requests = serveRows(bus, (request, times) => {
      if (request.number === 11 && times === 1) return null;
      if (request.number === 12 && times < 3) return rowsFor(request, { number: 12 + times });
      if (request.number === 13 && times === 1) return rowsFor(request).fill(0, 40, 44);
      return rowsFor(request);
    });
    const worker = await startWorker(world, 0);
    coordinator.begin(1, 1, { microBatchCount: 1 });
    await enqueueInnerLoop(world);
    await world.until("the inner loop is claimed", () => coordinator.claims.length === 1);
    assertEquals(requests.map(({ number }) => number), [10, 11, 11, 12, 12, 12, 13, 13, 14, 15]);
    assert(
      requests.every(({ worker, step, attempt, index }) => worker === "w-a" && step + attempt + index === 2),
    );

    const engine = new LocalStepsEngine(createToyEngine({ clock: world.clock }), {
      ...{ optimizer: JOB.optimizer, outer: OUTER },
      ...{ headroomBits: LIMITS.exponentHeadroomBits, keptShare: LIMITS.exponentKeptShare },
    });
    await engine.load({ modelFolder: "", ...JOB.engine, allowCpu: true, memoryBudgetBytes: null });
    const expected = await engine.computeInnerLoop({
      ...{ innerLoop: INNER_LOOP, rowsOf: (number: number) => Promise.resolve(microBatchOf(number)) },
      ...{ onComputed: () => {}, signal: new AbortController().signal },
    });
    const [claim] = coordinator.claims;
    assertEquals([claim!.lossSum, claim!.labelCount], [expected.lossSum, expected.labelCount]);
    assertEquals(maximaOf(claim!), [...expected.maxAbs]);
    await world.until("it has reported its throughput", () => worker.heartbeat!.microBatchesDone === 6);
  });
});

Deno.test("an inner loop that a peer was counted for is left for the round, unfinished, and blames no worker", async () => {
  await inWorld(async (world) => {
    const { coordinator, bus } = world;
    const requests = serveRows(bus, (request) => rowsFor(request));
    const worker = await startWorker(world, 1000);
    coordinator.begin(1, 1, { microBatchCount: 1 });
    await enqueueInnerLoop(world);
    await world.until("it computes", () => worker.heartbeat!.busy !== null);
    await world.clock.advance(1500);
    const other = { worker: "w-b", incarnation: "i-w-b-1" };
    const members = [...coordinator.members, other];
    coordinator.announce({ phase: "reduce", members, ledger: [1], labelCount: 24 });
    await world.until("it has left the inner loop", () => worker.heartbeat!.busy === null, 2000);
    await world.clock.advance(10_000);
    assertEquals([coordinator.claims, coordinator.failures], [[], []]);
    assertLess(worker.engine.callCounts.computeGradient!, 4);
    assertLess(requests.length, 5);
  });
});

Deno.test("an attempt that is over ends its inner loop between two micro-batches; the next one is computed from the start", async () => {
  await inWorld(async (world) => {
    const { coordinator, bus } = world;
    serveRows(bus, (request) => rowsFor(request));
    const worker = await startWorker(world, 1000);
    coordinator.begin(1, 1, { microBatchCount: 1 });
    await enqueueInnerLoop(world);
    await world.until("it computes", () => worker.heartbeat!.busy !== null);
    await world.clock.advance(2500);
    coordinator.begin(1, 2, { microBatchCount: 1 });
    await world.until("it has left the inner loop", () => worker.heartbeat!.busy === null, 2000);
    const before = worker.engine.callCounts.computeGradient!;
    const header = {
      ...{ jobId: JOB.jobId, startId: JOB.startId, specHash: JOB.specHash },
      ...{ step: 1, attempt: 2, index: 0, number: 10, audit: false },
    };
    await bus.enqueue(
      subjects.workSubject(JOB.jobId, 1, 2),
      encodeInnerLoopItem(header, INNER_LOOP),
      "inner loop again",
    );
    await world.until("the inner loop is claimed", () => coordinator.claims.length === 1);
    assertEquals(worker.engine.callCounts.computeGradient! - before, 6);
    assertEquals([coordinator.claims[0]!.attempt, coordinator.failures], [2, []]);
  });
});
