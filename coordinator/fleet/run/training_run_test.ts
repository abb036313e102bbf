import { decodeMessage, encodeMessage } from "../../../shared/protocol/messages_codec.ts";
import { assert, assertEquals } from "@std/assert";
import { createFakeClock, type FakeClock } from "../../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../../shared/testing/memory_bus.ts";
import type { Bus } from "../../../shared/bus/bus.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { LIMITS } from "../../../shared/protocol/limits.ts";
import {
  type ItemRequest,
  itemRequestSchema,
  rowsRequestSchema,
} from "../../../shared/protocol/messages_worker.ts";
import {
  commitEntrySchema,
  type StepState,
  stepStateSchema,
} from "../../../shared/protocol/messages_coordinator.ts";
import * as subjects from "../../../shared/protocol/subjects.ts";
import { createMemoryArtifacts } from "../../../tests/sim/memory_artifacts.ts";
import { createToyJob } from "../../../tests/sim/toy_job.ts";
import { createFloodGuard } from "../flood_guard.ts";
import { INITIAL, member, SILENT_OBSERVER } from "../../training/step_fixture.ts";
import { startTrainingRun } from "./training_run.ts";

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

Deno.test("items and rows are served to members of the current attempt only", async () => {
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
  await bus.ensureStream(subjects.commitLogName(job.id), subjects.commitsSubject(job.id));
  const workers = broker.connect("workers");
  let state: StepState | null = null;
  workers.subscribe(subjects.stateSubject(job.id), ({ data }) => {
    state = decodeMessage(stepStateSchema, data, "state");
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
  const { phase, step, attempt, members } = state as StepState;
  assertEquals([phase, members.map(({ worker }) => worker)], ["compute", ["w-a"]]);

  const asked: ItemRequest = {
    ...{ worker: "w-a", incarnation: "i-w-a", term: TERM, step, attempt, index: 1 },
  };
  const isAnswered = async (subject: string, data: Uint8Array) => {
    const answer = workers.request(subject, data, 100).then(() => true, () => false);
    await clock.advance(200);
    return await answer;
  };
  const answered = async (change: Partial<ItemRequest>) => {
    const request = { ...asked, ...change };
    const item = encodeMessage(itemRequestSchema, request);
    const rows = encodeMessage(rowsRequestSchema, { ...request, number: 2 });
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

Deno.test("a closed run settles once it has finished with queue and log", async () => {
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock });
  const bus = broker.connect("coordinator");
  const job = createToyJob({ totalSteps: 4, microBatchesPerStep: 2, checkpointEvery: 1 });
  await bus.ensureStream(subjects.commitLogName(job.id), subjects.commitsSubject(job.id));
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

/** A run of two workers on a toy job, whose bus is `broken`; nothing has happened yet. */
async function begun(brokenOf: (bus: Bus) => Partial<Bus>) {
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock });
  const bus = broker.connect("coordinator");
  const job = createToyJob({ totalSteps: 4, microBatchesPerStep: 2, checkpointEvery: 1 });
  const [queue, log] = [subjects.workQueueName(job.id), subjects.commitLogName(job.id)];
  await bus.ensureQueue(queue, [subjects.allWorkSubject(job.id)], { ackWaitMs: 60_000 });
  await bus.ensureStream(log, subjects.commitsSubject(job.id));
  let state: StepState | null = null;
  broker.connect("listener").subscribe(subjects.stateSubject(job.id), ({ data }) => {
    state = decodeMessage(stepStateSchema, data, "state");
  });
  const troubles: (string | null)[] = [];
  const run = startTrainingRun({
    ...{ bus: { ...bus, ...brokenOf(bus) }, clock, limits: LIMITS, term: TERM, job, startId: "s-1" },
    ...{ artifacts: createMemoryArtifacts(), observer: SILENT_OBSERVER, resumed: null },
    ...{ checkKey: "k", layout: null, guard: guardOf(clock) },
    ...{ onQuarantine: () => {}, quarantined: new Set<string>() },
    fleet: { generation: 1, members: [memberOf(job.id, "w-a")] },
    onBrokerTrouble: (problem) => void troubles.push(problem),
    onDefect: (_message, thrown) => {
      throw thrown;
    },
  });
  run.outcome.catch(() => {});
  const pass = async (milliseconds: number) => {
    for (let passed = 0; passed < milliseconds; passed += 250) {
      run.tick();
      await clock.advance(250);
    }
  };
  return { bus, job, run, pass, troubles, state: () => state! };
}

Deno.test("a broker that stores no work for minutes costs the step no attempt, and is retried with pauses", async () => {
  let isFull = true;
  let tries = 0;
  const world = await begun((bus) => ({
    enqueue: (...rest) => {
      tries++;
      return isFull ? Promise.reject(new LoraFleetError("storage", "no space left")) : bus.enqueue(...rest);
    },
  }));
  await world.pass(120_000);
  assertEquals([world.state().phase, world.state().attempt], ["compute", 1]);
  // Two items each time: 0.1 s, doubled, up to 5 s.
  assert(tries < 80, `${tries} tries`);
  assertEquals([...new Set(world.troubles)], [null, "no space left"]);
  isFull = false;
  await world.pass(6000);
  assertEquals([world.troubles.at(-1), world.state().attempt], [null, 1]);
  const item = await (await world.bus.openQueue(subjects.workQueueName(world.job.id))).pull(1);
  assert(item !== null, "the work is on the queue");
  world.run.close();
});

Deno.test("a broker that has lost its streams gets queue and newest commit back from the coordinator", async () => {
  let isLost = true;
  const world = await begun((bus) => ({
    enqueue: async (...rest) => {
      if (isLost) {
        isLost = false;
        await bus.deleteStream(subjects.commitLogName(world.job.id));
        await bus.deleteQueue(subjects.workQueueName(world.job.id));
        throw new LoraFleetError("timeout", "no responders");
      }
      await bus.enqueue(...rest);
    },
  }));
  await world.pass(2000);
  const log = await world.bus.readStream(subjects.commitLogName(world.job.id));
  const steps = log.map(({ data }) => decodeMessage(commitEntrySchema, data, "commit").step);
  assertEquals([steps, world.state().phase, world.state().attempt], [[0], "compute", 1]);
  const item = await (await world.bus.openQueue(subjects.workQueueName(world.job.id))).pull(1);
  assert(item !== null, "the work is on the new queue");
  world.run.close();
});
