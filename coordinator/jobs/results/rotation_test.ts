import { assertEquals } from "@std/assert";
import { createFakeClock } from "../../../shared/testing/fake_clock.ts";
import { withWorld, type World } from "../../testing/app_fixture.ts";
import { fakePrepare } from "../../testing/fake_preparer.ts";
import { holdBefore, submit } from "../job_service_fixture.ts";
import { surplusCheckpoints } from "./rotation.ts";

Deno.test("the newest and the best stay; the limit counts both, except that 1 keeps two", () => {
  const cases: [number[], number, number | null, number[]][] = [
    [[2, 4, 6, 8], 2, null, [2, 4]],
    [[2, 4, 6, 8], 2, 2, [4, 6]],
    [[2, 4, 6, 8], 3, 2, [4]],
    [[2, 4, 6, 8], 1, 4, [2, 6]],
    [[2, 4, 6, 8], 1, 8, [2, 4, 6]],
    [[2, 4], 5, 2, []],
    [[2, 4], 1, 3, [2]],
  ];
  for (const [steps, limit, best, surplus] of cases) {
    assertEquals(surplusCheckpoints(steps, limit, best), surplus);
  }
});

/** Checkpoints and evaluations every second step of eight; the best evaluation is that of step 4. */
const prepare: typeof fakePrepare = async (request) => ({
  ...await fakePrepare(request),
  checkpointSteps: [2, 4, 6, 8],
});

const rotated = async (world: World, training: Record<string, unknown>, isEvaluated = true) => {
  const validation = isEvaluated ? { validation_file: (await world.upload("rows")).id } : {};
  return await submit(world, "a\nb\nc\nd", { ...validation, training });
};
const stepsOf = (world: World, id: string) =>
  world.store.checkpoints(id, { after: null, limit: 9 }).items.map(({ step }) => step);

Deno.test("save_total_limit deletes older checkpoints, records and files, but neither the best nor the newest", () =>
  withWorld({ prepare }, async (world) => {
    const best = await world.finished((await rotated(world, { save_total_limit: 2 })).id);
    assertEquals([stepsOf(world, best.id), await world.artifacts.steps(best.id)], [[8, 4], [4, 8]]);
    const plain = await world.finished((await rotated(world, { save_total_limit: 1 }, false)).id);
    assertEquals([stepsOf(world, plain.id), await world.artifacts.steps(plain.id)], [[8], [8]]);
    assertEquals(plain.status, "succeeded");
    const deletions = world.messages(plain.id).filter((message) => message.includes("is deleted"));
    assertEquals(deletions[0], "The checkpoint of step 2 is deleted (training.save_total_limit).");
    assertEquals(deletions.length, 3);
    assertEquals(world.defects, []);
  }));

Deno.test("a checkpoint that is being read stays until its reader is done", async () => {
  const clock = createFakeClock();
  await withWorld({ prepare, clock }, async (world) => {
    const hold = holdBefore(world, 3);
    const { id } = await rotated(world, { save_total_limit: 1 }, false);
    await hold.reached;
    const read = await world.app.request(`/v1/fine_tuning/jobs/${id}/artifacts/adapter_config.json?step=2`);
    assertEquals(await read.text(), '{"step":2}');
    const later = holdBefore(world, 7);
    hold.release();
    await later.reached;
    assertEquals(stepsOf(world, id), [6, 2]);
    await clock.advance(600_000);
    later.release();
    await world.finished(id);
    assertEquals(stepsOf(world, id), [8]);
  });
});

Deno.test("a checkpoint from which an unfinished job trains on stays", () =>
  withWorld({ prepare }, async (world) => {
    const hold = holdBefore(world, 3);
    const { id } = await rotated(world, { save_total_limit: 1 }, false);
    await hold.reached;
    const { id: follower } = await submit(world, "a", { model: `ft:org/tiny::${id}:ckpt-step-2` });
    const later = holdBefore(world, 7);
    hold.release();
    await later.reached;
    assertEquals(stepsOf(world, id), [6, 2]);
    later.release();
    await world.finished(id);
    await world.finished(follower);
  }));
