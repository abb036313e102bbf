import { assert, assertEquals } from "@std/assert";
import { createFakeClock, type FakeClock } from "../shared/bus/fake_clock.ts";
import { createMemoryBroker } from "../shared/bus/memory_bus.ts";
import { LIMITS } from "../shared/limits.ts";
import * as messages from "../shared/messages.ts";
import * as subjects from "../shared/subjects.ts";
import { createMemoryArtifacts } from "../tests/sim/memory_artifacts.ts";
import { createToyJob } from "../tests/sim/toy_job.ts";
import { createFloodGuard } from "./flood_guard.ts";
import { INITIAL, member, SILENT_OBSERVER } from "./step_fixture.ts";
import { startTrainingRun } from "./training_run.ts";

const { encodeMessage, decodeMessage } = messages;
const TERM = 5;
/** Loaded, with the initial adapter. */
const memberOf = (jobId: string, worker: string) => {
  const { job, ...known } = member(worker, { step: 0, digest: INITIAL });
  return { ...known, job: { ...job!, jobId } };
};

const guardOf = (clock: FakeClock) =>
  createFloodGuard({
    ...{ clock, limits: LIMITS, onFlood: () => {} },
    onDefect: (_message, thrown) => {
      throw thrown;
    },
  });

Deno.test("items and rows are given to members of the attempt that is computed, and to nobody else", async () => {
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock });
  const bus = broker.connect("coordinator");
  const job = createToyJob({
    ...{ totalSteps: 4, microBatchesPerStep: 2, checkpointEvery: 1 },
    fleet: { local_steps: { inner_steps: 2, replicas: 2 } },
  });
  await bus.ensureQueue(subjects.workQueueName(job.id), [subjects.allWorkSubject(job.id)], {
    ackWaitMs: LIMITS.microBatchAckWaitMs,
  });
  await bus.ensureLog(subjects.commitLogName(job.id), subjects.commitsSubject(job.id));
  const workers = broker.connect("workers");
  let state: messages.StepState | null = null;
  workers.subscribe(subjects.stateSubject(job.id), ({ data }) => {
    state = decodeMessage(messages.stepStateSchema, data, "state");
  });
  const run = startTrainingRun({
    ...{ bus, clock, limits: LIMITS, artifacts: createMemoryArtifacts(), job, startId: "s-1", term: TERM },
    ...{ observer: SILENT_OBSERVER, resumed: null, onQuarantine: () => {} },
    ...{ checkKey: "k", layout: null, guard: guardOf(clock) },
    // In the fleet, and in no attempt.
    quarantined: new Set(["w-q"]),
    fleet: { generation: 1, members: [memberOf(job.id, "w-a"), memberOf(job.id, "w-q")] },
    onDefect: (_message, thrown) => {
      throw thrown;
    },
  });
  for (let second = 0; second < 5; second++) {
    run.tick();
    await clock.advance(1000);
  }
  assert(state !== null);
  const { phase, step, attempt, members } = state as messages.StepState;
  assertEquals([phase, members.map(({ worker }) => worker)], ["compute", ["w-a"]]);

  const asked: messages.ItemRequest = {
    ...{ worker: "w-a", incarnation: "i-w-a", term: TERM, step, attempt, index: 1 },
  };
  const isAnswered = async (subject: string, data: Uint8Array) => {
    const answer = workers.request(subject, data, 100).then(() => true, () => false);
    await clock.advance(200);
    return await answer;
  };
  const answered = async (change: Partial<messages.ItemRequest>) => {
    const request = { ...asked, ...change };
    const item = encodeMessage(messages.itemRequestSchema, request);
    const rows = encodeMessage(messages.rowsRequestSchema, { ...request, number: 2 });
    return [
      await isAnswered(subjects.itemSubject(job.id, request.worker), item),
      await isAnswered(subjects.rowsSubject(job.id, request.worker), rows),
    ];
  };
  assertEquals(await answered({}), [true, true]);
  for (
    const change of [
      { worker: "w-q", incarnation: "i-w-q" },
      { worker: "w-x", incarnation: "i-w-x" },
      { incarnation: "i-earlier" },
      { term: TERM - 1 },
      { step: step + 1 },
      { attempt: attempt + 1 },
    ]
  ) {
    assertEquals(await answered(change), [false, false], JSON.stringify(change));
  }
  run.outcome.catch(() => {});
  run.close();
});

Deno.test("a closed run is settled when what it was doing to queue and log is done", async () => {
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock });
  const bus = broker.connect("coordinator");
  const job = createToyJob({ totalSteps: 4, microBatchesPerStep: 2, checkpointEvery: 1 });
  await bus.ensureLog(subjects.commitLogName(job.id), subjects.commitsSubject(job.id));
  const slow = Promise.withResolvers<number>();
  const run = startTrainingRun({
    ...{ bus: { ...bus, append: () => slow.promise }, clock, limits: LIMITS, term: TERM, job },
    ...{ artifacts: createMemoryArtifacts(), startId: "s-1", observer: SILENT_OBSERVER, resumed: null },
    ...{
      onQuarantine: () => {},
      quarantined: new Set<string>(),
      checkKey: "k",
      layout: null,
      guard: guardOf(clock),
    },
    fleet: { generation: 1, members: [memberOf(job.id, "w-a")] },
    onDefect: (_message, thrown) => {
      throw thrown;
    },
  });
  run.outcome.catch(() => {});
  await clock.advance(100);
  run.close();
  let isSettled = false;
  const settled = run.settled().then(() => isSettled = true);
  await clock.advance(1000);
  assertEquals(isSettled, false);
  slow.resolve(1);
  await settled;
});
