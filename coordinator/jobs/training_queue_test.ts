import { assertEquals } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { withWorld } from "../testing/app_fixture.ts";
import { fakePrepare, preparerOf } from "../testing/fake_preparer.ts";
import { type PrepareRequest } from "../planning/preparation/prepare_request.ts";
import { holdBefore, submit } from "./job_service_fixture.ts";

Deno.test("one job trains at a time; the others wait in order", () =>
  withWorld({}, async (world) => {
    const hold = holdBefore(world, 2);
    const ids = [(await submit(world)).id, (await submit(world)).id, (await submit(world)).id];
    assertEquals(await hold.reached, ids[0]!);
    await world.until(ids[2]!, (job) => job.status === "queued");
    assertEquals(ids.map((id) => world.jobs.get(id).status), ["running", "queued", "queued"]);
    hold.release();
    for (const id of ids) assertEquals((await world.finished(id)).status, "succeeded");
    assertEquals(world.fleet.trained, ids);
  }));

Deno.test("a free fleet waits ten seconds for an older job's data, then trains a younger job", async () => {
  const clock = createFakeClock();
  const gate = Promise.withResolvers<void>();
  const prepare: typeof fakePrepare = async (request) => {
    if (request.spec.seed === 1) await gate.promise;
    return await fakePrepare(request);
  };
  await withWorld({ clock, prepare }, async (world) => {
    const slow = await submit(world, "a", { seed: 1 });
    const ready = await submit(world, "a");
    await world.until(ready.id, ({ status }) => status === "queued");
    await clock.advance(9000);
    assertEquals([world.jobs.get(slow.id).status, world.fleet.trained], ["validating_files", []]);
    await clock.advance(1000);
    assertEquals((await world.finished(ready.id)).status, "succeeded");
    // The fleet does not wait for it again.
    const next = await submit(world, "a");
    assertEquals((await world.finished(next.id)).status, "succeeded");
    gate.resolve();
    assertEquals((await world.finished(slow.id)).status, "succeeded");
    assertEquals(world.fleet.trained, [ready.id, next.id, slow.id]);
  });
});

Deno.test("an older job that is prepared in time trains first", async () => {
  const gate = Promise.withResolvers<void>();
  const prepare: typeof fakePrepare = async (request) => {
    if (request.spec.seed === 1) await gate.promise;
    return await fakePrepare(request);
  };
  await withWorld({ prepare }, async (world) => {
    const ids = [(await submit(world, "a", { seed: 1 })).id, (await submit(world, "a")).id];
    await world.until(ids[1]!, ({ status }) => status === "queued");
    gate.resolve();
    for (const id of ids) await world.finished(id);
    assertEquals(world.fleet.trained, ids);
  });
});

Deno.test("while a job trains, the next one's data is warmed up until that one is cancelled", async () => {
  const warmed: string[] = [];
  const aborted: string[] = [];
  const openPreparer = () =>
    Promise.resolve({
      ...preparerOf(fakePrepare),
      warm: ({ id, signal }: PrepareRequest) => {
        warmed.push(id);
        signal.addEventListener("abort", () => aborted.push(id));
        return new Promise<void>((_, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason))
        );
      },
    });
  await withWorld({ openPreparer }, async (world) => {
    const gates = new Map<string, () => void>();
    world.fleet.beforeStep = (job, step) =>
      step === 1 ? new Promise((resolve) => gates.set(job.id, resolve)) : Promise.resolve();
    const ids: string[] = [];
    for (let count = 0; count < 4; count++) {
      const { id } = await submit(world, "a");
      ids.push(id);
      await world.until(id, ({ status }) => status !== "validating_files");
    }
    const begun = (id: string) => until(() => gates.has(id));
    await begun(ids[0]!);
    // The queue was empty when the first one began.
    assertEquals(warmed, []);
    gates.get(ids[0]!)!();
    await begun(ids[1]!);
    await until(() => warmed.length > 0);
    assertEquals(warmed, [ids[2]]);
    world.jobs.cancel(ids[2]!);
    assertEquals(aborted, [ids[2]]);
    gates.get(ids[1]!)!();
    await begun(ids[3]!);
    gates.get(ids[3]!)!();
    await world.finished(ids[3]!);
    assertEquals([warmed, world.defects], [[ids[2]], []]);
  });
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 1));
}
