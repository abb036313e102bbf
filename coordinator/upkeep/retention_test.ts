import { assertEquals, assertMatch } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { parseJobRequest } from "../job_request/parse.ts";
import { withWorld, type World } from "../testing/app_fixture.ts";
import { removeOld, type RetentionRule } from "./retention.ts";

const DAY_MS = 86_400_000;

async function trained(world: World, training_file: string, fields = {}): Promise<string> {
  const { id } = await world.jobs.create(parseJobRequest({ model: "org/tiny", training_file, ...fields }));
  assertEquals((await world.finished(id)).status, "succeeded");
  return id;
}

const modelsOf = async ({ app }: World): Promise<string[]> =>
  (await (await app.request("http://localhost/v1/models")).json()).data.map(({ id }: { id: string }) => id);

function removal(world: World, clock: ReturnType<typeof createFakeClock>) {
  const { store, files, artifacts, jobs, services: { exports } } = world;
  const log: string[] = [];
  const remove = (rule: Partial<RetentionRule>) =>
    removeOld({
      ...{ store, files, artifacts, jobs, exports, clock, log: (_level, message) => void log.push(message) },
      rule: { maxAgeDays: null, maxBytes: null, ...rule },
    });
  return { log, remove };
}

Deno.test("results and uploads older than so many days go, with an event; records and what is needed stay", async () => {
  const clock = createFakeClock(1_700_000_000_000);
  await withWorld({ clock }, async (world) => {
    const { store } = world;
    const { log, remove } = removal(world, clock);
    const { id: old } = await world.upload("a");
    const [gone, needed] = [await trained(world, old), await trained(world, old)];
    const base = store.job(needed)!.fineTunedModel!;
    await clock.advance(10 * DAY_MS);
    const { id: fresh } = await world.upload("b");
    const recent = await trained(world, fresh);
    // Trains on from the second one's result, and has not ended.
    const running = await world.jobs.create(parseJobRequest({ model: base, training_file: fresh }));
    world.jobs.pause(running.id);

    await remove({});
    assertEquals(log, []);
    await remove({ maxAgeDays: 7 });
    const models = await modelsOf(world);
    assertEquals(models.includes(store.job(gone)!.fineTunedModel!), false);
    assertEquals(models.includes(base), true);
    assertEquals(models.includes(store.job(recent)!.fineTunedModel!), true);
    assertEquals([store.file(old), store.file(fresh) === null], [null, false]);
    assertEquals(await world.artifacts.steps(gone), []);
    assertEquals((await world.artifacts.steps(needed)).length > 0, true);
    assertEquals(store.job(gone)!.status, "succeeded");
    const told = world.messages(gone).filter((message) => message.startsWith("Removed"));
    assertMatch(
      told[0]!,
      /^Removed the checkpoint of step \d+, \d+ bytes: it is older than 7 days \(--retention-days\)\.$/,
    );
    assertMatch(
      log.join("\n"),
      /Removed the upload file-\w+ \(train\.jsonl\), 1 bytes: it is older than 7 days/,
    );
    log.length = 0;
    await remove({ maxAgeDays: 7 });
    assertEquals(log, []);
    world.jobs.cancel(running.id);
  });
});

Deno.test("beyond a size the oldest go, and no more than that takes", async () => {
  const clock = createFakeClock(1_700_000_000_000);
  await withWorld({ clock }, async (world) => {
    const { store } = world;
    const { remove } = removal(world, clock);
    const jobs: string[] = [];
    for (const text of ["a", "b", "c"]) {
      jobs.push(await trained(world, (await world.upload(text)).id));
      await clock.advance(1000);
    }
    const bytesOf = (id: string) =>
      store.checkpoints(id, { after: null, limit: 100 }).items.flatMap(({ files }) => files)
        .reduce((sum, { size }) => sum + size, 0);
    const one = bytesOf(jobs[0]!);
    await remove({ maxBytes: 2 * one + 3 });
    const left = await Promise.all(jobs.map(async (id) => (await world.artifacts.steps(id)).length > 0));
    assertEquals(left, [false, true, true]);
  });
});
