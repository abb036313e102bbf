import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createFakeClock } from "../../../shared/testing/fake_clock.ts";
import { createMemoryBroker } from "../../../shared/testing/memory_bus.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { encodeMessage } from "../../../shared/protocol/messages_codec.ts";
import { decodeWorkItemHeader, decodeWorkItemRows } from "../../../shared/protocol/messages_work_item.ts";
import { type RowsRequest, rowsRequestSchema } from "../../../shared/protocol/messages_worker.ts";
import { rowsSubject } from "../../../shared/protocol/subjects.ts";
import { createToyJob } from "../../../tests/sim/toy_job.ts";
import { LIMITS } from "../../../shared/protocol/limits.ts";
import { createFloodGuard } from "../flood_guard.ts";
import { serveRows } from "./rows_server.ts";

const JOB = createToyJob({
  ...{ totalSteps: 6, microBatchesPerStep: 2, checkpointEvery: 1 },
  fleet: { local_steps: { inner_steps: 3, replicas: 2 } },
});
const REQUEST: RowsRequest = {
  ...{ worker: "w-a", incarnation: "i-1", term: 1, step: 1, attempt: 2, index: 1, number: 7 },
};

function createWorld(job = JOB, maxPayloadBytes = 2 ** 20) {
  const clock = createFakeClock();
  const broker = createMemoryBroker({ clock, maxPayloadBytes });
  const [defects, unanswered]: [string[], string[]] = [[], []];
  serveRows({
    bus: broker.connect("coordinator"),
    ...{ job, local: job.local!, startId: "s-1" },
    isCurrent: ({ worker, attempt }) => worker === "w-a" && attempt === 2,
    onUnanswerable: ({ number }, thrown) => void unanswered.push(`${number}: ${(thrown as Error).message}`),
    guard: createFloodGuard({
      ...{ clock, limits: { ...LIMITS, floodLogIntervalMs: 0 }, onFlood: () => {} },
      onDefect: (message, thrown) => void defects.push(`${message}: ${(thrown as Error).message}`),
    }),
  });
  const bus = broker.connect("w-a");
  const ask = (change: Partial<RowsRequest> = {}, speaker = "w-a") =>
    bus.request(
      rowsSubject(job.id, speaker),
      encodeMessage(rowsRequestSchema, { ...REQUEST, ...change }),
      1,
    );
  const refused = async (change: Partial<RowsRequest> = {}, speaker?: string) => {
    const rejected = assertRejects(() => ask(change, speaker), LoraFleetError, "no answer on");
    await clock.advance(10);
    await rejected;
  };
  return { ask, refused, defects, unanswered };
}

Deno.test("the rows of each micro-batch are served by its number, in an item that repeats the request", async () => {
  const { ask } = createWorld();
  for (const number of [0, 7, 11]) {
    const item = await ask({ number });
    assertEquals(decodeWorkItemHeader(item), {
      ...{
        jobId: JOB.id,
        startId: "s-1",
        specHash: "spec",
        step: 1,
        attempt: 2,
        index: 1,
        number,
        audit: false,
      },
    });
    assertEquals(decodeWorkItemRows(item), JOB.microBatchesOf(Math.floor(number / 2) + 1)[number % 2]);
  }
});

Deno.test("a number beyond the job's, a different attempt and a worker that is not a member get no answer", async () => {
  const { refused, defects } = createWorld();
  await refused({ number: 12 });
  assertMatch(defects.join(), /w-a asks for micro-batch 12 of ftjob-sim, which has 6 data steps of up to 2/);
  await refused({ attempt: 1 });
  await refused({ worker: "w-b" }, "w-b");
  assertEquals(defects.length, 1);
  await refused({}, "w-b");
  assertMatch(defects[1]!, /a worker speaks for itself alone/);
});

Deno.test("rows that do not fit into a message are reported", async () => {
  const { refused, defects, unanswered } = createWorld(JOB, 120);
  await refused();
  assertEquals(defects, []);
  assertMatch(unanswered.join(), /^7: /);
});

Deno.test("rows of data steps are made on request, and the most recently used are cached", async () => {
  const made: number[] = [];
  const job = {
    ...createToyJob({
      ...{ totalSteps: 100, microBatchesPerStep: 2, checkpointEvery: 1 },
      fleet: { local_steps: { inner_steps: 50, replicas: 2 } },
    }),
  };
  const { ask } = createWorld({
    ...job,
    microBatchesOf: (dataStep) => {
      made.push(dataStep);
      return job.microBatchesOf(dataStep);
    },
  });
  assertEquals(made, []);
  for (const number of [0, 1, 0, 2, 1]) await ask({ number });
  assertEquals(made, [1, 2]);
  for (let dataStep = 3; dataStep <= 40; dataStep++) await ask({ number: 2 * (dataStep - 1) });
  await ask({ number: 0 });
  assertEquals(made.filter((dataStep) => dataStep === 1).length, 2);
});
