import { assertEquals } from "@std/assert";
import { withWorld } from "../testing/app_fixture.ts";
import { fakePrepare } from "../testing/fake_preparer.ts";
import { holdBefore, submit } from "./job_service_fixture.ts";

Deno.test("an excluded micro-batch is reported once, with its lines", () =>
  withWorld({}, async (world) => {
    world.fleet.excluded.set(3, { index: 1, workers: ["w-a"] });
    const hold = holdBefore(world, 4);
    const { id } = await submit(world);
    await hold.reached;
    const events = world.store.eventsSince(id, 0, 99).filter(({ data }) => data?.["micro_batch"] === 1);
    assertEquals(events.map(({ level, type, data }) => [level, type, data]), [
      ["warn", "message", { step: 3, micro_batch: 1, examples: [2], workers: ["w-a"] }],
    ]);
    assertEquals(events[0]!.message.includes("(line 2 of the training file)"), true, events[0]!.message);
    hold.release();
    const job = await world.finished(id);
    assertEquals(job.quarantined.map(({ step, microBatch }) => [step, microBatch]), [[3, 1]]);
    assertEquals(job.audits, { passed: 4, failed: 0, skipped: 0 });
  }));

Deno.test("after a rollback, tokens are counted without visiting each step", async () => {
  let visits = 0;
  const prepare: typeof fakePrepare = async (request) => ({
    ...await fakePrepare(request),
    totalSteps: 4_000_000,
    checkpointSteps: { includes: () => false },
    tokensThrough: (step: number) => 100 * step,
    microBatchesOf: () => (visits++, []),
  });
  await withWorld({ prepare }, async (world) => {
    const train = world.fleet.train.bind(world.fleet);
    const rolledBack = Promise.withResolvers<void>();
    world.fleet.train = async (job, observer, signal) => {
      await observer.starting(0);
      await train({ ...job, totalSteps: 3 }, observer, signal);
      assertEquals((await observer.starting(2)).step, 2);
      rolledBack.resolve();
    };
    const { id } = await submit(world);
    await rolledBack.promise;
    assertEquals([world.jobs.get(id).trainedTokens, visits], [200, 0]);
    await world.finished(id);
  });
});
