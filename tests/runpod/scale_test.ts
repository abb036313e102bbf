/** `up --for-job --until-done`: pods come with the job, are replaced, and go with it or with the budget. */
import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { assertNothingLeft, MINUTE, type PodsWorld, withPods } from "./pods_fixture.ts";

const FOR_JOB = "--gpu RTX-3090 --for-job ftjob-1 --until-done";

function set(world: PodsWorld, status: string | Error) {
  return () => void (world.job = status);
}

Deno.test("a job gets its pods when it is queued, and they go when it has succeeded", () =>
  withPods(async (world) => {
    world.job = "validating_files";
    let most = 0;
    world.runpod.pods.onCreate = () => most = Math.max(most, world.runpod.pods.left.length);
    const error = await world.up(`${FOR_JOB} --count 3`, [
      { at: 10 * MINUTE, do: () => assertEquals(world.runpod.pods.all.length, 0) },
      { at: 10 * MINUTE, do: set(world, "queued") },
      { at: 12 * MINUTE, do: set(world, "running") },
      { at: 70 * MINUTE, do: set(world, "succeeded") },
    ]);
    assertEquals([error, most], [null, 3]);
    assertEquals(
      world.runpod.pods.all.map(({ name }) => name),
      [1, 2, 3].map((n) => `lorafleet.default.ftjob-1.s${n}`),
    );
    assertLess(world.runpod.pods.billed, 3 * 0.46 * (60.5 / 60));
    await assertNothingLeft(world);
  }));

Deno.test("a spot pod is evicted in mid-job: it is removed and replaced", () =>
  withPods(async (world) => {
    const { pods } = world.runpod;
    const error = await world.up(`${FOR_JOB} --count 2 --spot --max-price 0.2`, [
      { at: 30 * MINUTE, do: () => pods.evict(pods.left[0]!) },
      {
        at: 33 * MINUTE,
        do: () => assertEquals(pods.left.map(({ status }) => status), ["RUNNING", "RUNNING"]),
      },
      { at: 60 * MINUTE, do: set(world, "succeeded") },
    ]);
    assertEquals(error, null);
    assertEquals(
      pods.all.map(({ isSpot, dollarsPerHour }) => [isSpot, dollarsPerHour]),
      Array(3).fill([true, 0.19]),
    );
    assertStringIncludes(
      world.lines.join("\n"),
      "removing lorafleet.default.ftjob-1.s1: RunPod has stopped it",
    );
    await assertNothingLeft(world);
  }));

Deno.test("the only pod has all of the budget, and leaves the rest of it to its replacement at once", () =>
  withPods(async (world) => {
    const { pods } = world.runpod;
    const error = await world.up(`${FOR_JOB} --budget 1`, [
      { at: 30 * MINUTE, do: () => pods.evict(pods.left[0]!) },
      {
        at: 30 * MINUTE + 16_000,
        do: () => assertEquals(pods.left.map(({ status }) => status), ["RUNNING"]),
      },
      { at: 60 * MINUTE, do: set(world, "succeeded") },
    ]);
    assertEquals([error, pods.all.length], [null, 2]);
    assertLess(pods.billed, 1);
    await assertNothingLeft(world);
  }));

Deno.test("the budget is reached: pods go before, nothing is billed above it, and the job waits", () =>
  withPods(async (world) => {
    const error = await world.up(`${FOR_JOB} --count 4 --budget 5`);
    assertMatch(
      error!.message,
      /the budget pays for no further pod; the job ftjob-1 waits on the coordinator/,
    );
    const { billed } = world.runpod.pods;
    assertLess(billed, 5);
    assertLess(4.6, billed);
    await assertNothingLeft(world);
  }));

Deno.test("a budget holds whatever happens: evictions, rising prices, a RunPod that is away, workers that leave or do not", async (t) => {
  for (let seed = 1; seed <= 4; seed++) {
    await t.step(`seed ${seed}`, () =>
      withPods(async (world) => {
        const { runpod } = world;
        let state = seed * 2654435761 % 2 ** 32;
        const random = () => (state = (state * 1664525 + 1013904223) % 2 ** 32) / 2 ** 32;
        const some = () => runpod.pods.left[Math.floor(random() * runpod.pods.left.length)];
        const happenings = Array.from({ length: 60 }, () => ({
          at: random() * 180 * MINUTE,
          do: [
            () => some()?.status === "RUNNING" && runpod.pods.evict(some()!),
            () => void (some() && runpod.pods.remove(some()!)),
            () => void (runpod.pods.priceFactor = 0.7 + random()),
            () => void (runpod.pods.startMs = random() * 30 * MINUTE),
            () => void runpod.pods.free.set("NVIDIA GeForce RTX 3090", Math.floor(random() * 4)),
            () => void (runpod.lostAnswers = 1),
          ][Math.floor(random() * 6)]!,
        }));
        // Away for less than the time between the removal and the lease's end.
        const outages = Array.from({ length: 5 }, (_, index) => [
          { at: index * 45 * MINUTE, do: () => void (runpod.isDown = true) },
          { at: index * 45 * MINUTE + 100_000, do: () => void (runpod.isDown = false) },
        ]).flat();
        // At last there is everything at the listed price again, so that the command ends.
        const calm = [
          { at: 180 * MINUTE, do: () => void (runpod.pods.priceFactor = 1) },
          { at: 180 * MINUTE, do: () => void (runpod.pods.startMs = 0) },
          { at: 180 * MINUTE, do: () => void runpod.pods.free.clear() },
        ];
        const error = await world.up(`${FOR_JOB} --count 3 --budget 2`, [
          ...happenings,
          ...outages.slice(2),
          ...calm,
        ]);
        assert(error !== null);
        assertLess(runpod.pods.billed, 2);
        await assertNothingLeft(world);
      }));
  }
});

Deno.test("a job that fails or is cancelled takes its pods with it", async (t) => {
  for (const status of ["failed", "cancelled"]) {
    await t.step(status, () =>
      withPods(async (world) => {
        const error = await world.up(`${FOR_JOB} --count 2`, [{ at: 20 * MINUTE, do: set(world, status) }]);
        assertMatch(error!.message, status === "failed" ? /the job has failed/ : /the job was cancelled/);
        await assertNothingLeft(world);
      }));
  }
});

Deno.test("a job that is over already, or is not known, rents nothing", () =>
  withPods(async (world) => {
    world.job = "succeeded";
    assertMatch((await world.up(FOR_JOB))!.message, /the job "ftjob-1" needs no pods: it has succeeded/);
    world.job = new LoraFleetError(
      "invalid_request",
      "GET /v1/fine_tuning/jobs/ftjob-1: there is no such job",
    );
    assertMatch((await world.up(FOR_JOB))!.message, /there is no such job/);
    assertEquals(world.runpod.pods.all.length, 0);
    await assertNothingLeft(world);
  }));

Deno.test("a coordinator that stays away is given up after a quarter of an hour, one that comes back is not", () =>
  withPods(async (world) => {
    const away = new LoraFleetError("timeout", "the coordinator at https://fleet.example cannot be reached");
    const error = await world.up(FOR_JOB, [
      { at: 10 * MINUTE, do: set(world, away) },
      { at: 20 * MINUTE, do: set(world, "running") },
      { at: 60 * MINUTE, do: set(world, away) },
    ]);
    assertMatch(error!.message, /the coordinator has not answered for 15 min/);
    assertEquals(world.runpod.pods.all.length, 1);
    await assertNothingLeft(world);
  }));

Deno.test("a paused job gets no new pods when its idle ones have left", () =>
  withPods(async (world) => {
    const { pods } = world.runpod;
    const error = await world.up(`${FOR_JOB} --count 2`, [
      { at: 20 * MINUTE, do: set(world, "paused") },
      { at: 30 * MINUTE, do: () => pods.left.forEach((pod) => pods.remove(pod)) },
      { at: 60 * MINUTE, do: () => assertEquals(pods.left.length, 0) },
      { at: 60 * MINUTE, do: set(world, "running") },
      { at: 90 * MINUTE, do: () => assertEquals(pods.left.length, 2) },
      { at: 90 * MINUTE, do: set(world, "succeeded") },
    ]);
    assertEquals(error, null);
    await assertNothingLeft(world);
  }));

Deno.test("pods whose worker ends at once are not rented for ever", () =>
  withPods(async (world) => {
    const { pods } = world.runpod;
    const error = await world.up(
      `${FOR_JOB} --count 2`,
      Array.from({ length: 60 }, (_, minute) => ({
        at: minute * MINUTE,
        do: () => pods.left.forEach((pod) => pod.status === "RUNNING" && pods.evict(pod)),
      })),
    );
    assertMatch(error!.message, /[4-6] pods have ended within 10 min of their start/);
    await assertNothingLeft(world);
  }));

Deno.test("no capacity at first or for a while: the command waits, and says what there is", () =>
  withPods(async (world) => {
    const { pods } = world.runpod;
    pods.free.set("NVIDIA GeForce RTX 3090", 1);
    const error = await world.up(`${FOR_JOB} --count 2`, [
      { at: 20 * MINUTE, do: () => assertEquals(pods.left.length, 1) },
      { at: 20 * MINUTE, do: () => void pods.free.set("NVIDIA GeForce RTX 3090", 5) },
      { at: 25 * MINUTE, do: () => assertEquals(pods.left.length, 2) },
      { at: 30 * MINUTE, do: set(world, "succeeded") },
    ]);
    assertEquals(error, null);
    assertStringIncludes(world.lines.join("\n"), "is sold out; free: A40 (48 GB, secure, $0.40/h)");
    await assertNothingLeft(world);
  }));

Deno.test("down in a different terminal ends the command that keeps the fleet", () =>
  withPods(async (world) => {
    let removal: Promise<LoraFleetError | null> = Promise.resolve(null);
    const error = await world.up(`${FOR_JOB} --count 2`, [
      { at: 20 * MINUTE, do: () => removal = world.down() },
    ]);
    assertMatch(error!.message, /a different command removes the fleet/);
    assertEquals(await removal, null);
    assertEquals(world.runpod.pods.left.length, 0);
  }));

Deno.test("the same command goes on after a kill, with the pods and with what they have cost", () =>
  withPods(async (world) => {
    const { pods } = world.runpod;
    world.runpod.pods.startMs = 60 * MINUTE;
    // A second Ctrl-C is as near to a kill as a test comes.
    await world.up(`${FOR_JOB} --count 2 --budget 3`, [
      { at: 30_000, do: () => void (world.runpod.isDown = true) },
      { at: 30_001, do: () => world.interrupt.abort(new LoraFleetError("aborted", "SIGINT")) },
      { at: 30_002, do: () => world.interruptAgain.abort(new LoraFleetError("aborted", "SIGINT")) },
    ]);
    assertEquals(pods.left.length, 2);
    Object.assign(world, { interrupt: new AbortController(), interruptAgain: new AbortController() });
    Object.assign(world.runpod, { isDown: false });
    pods.startMs = 0;
    await world.clock.advance(30 * MINUTE);
    const error = await world.up(`${FOR_JOB} --count 2 --budget 3`);
    assertMatch(error!.message, /the budget pays for no further pod/);
    assertStringIncludes(world.lines.join("\n"), "going on with 2 pods of an interrupted command");
    assertLess(pods.billed, 3);
    await assertNothingLeft(world);
  }));

Deno.test("a creation that a kill has cut off is found by its name, and counts", () =>
  withPods(async (world) => {
    const { runpod, stateFolder } = world;
    const name = "lorafleet.default.ftjob-1.cut";
    runpod.pods.rent({
      ...{
        name,
        image: "example/worker:1",
        gpuId: "NVIDIA GeForce RTX 3090",
        cloud: "SECURE",
        isSpot: false,
      },
      dollarsPerHour: 0.46,
    });
    const pod = {
      ...{ name, id: null, gpu: "RTX 3090", cloud: "SECURE", isSpot: false, dollarsPerHour: 0.47 },
      ...{ createdAt: world.clock.now(), leaseEndsAt: world.clock.now() + 60 * MINUTE, removedAt: null },
    };
    const state = { version: 1, fleet: "default", jobId: "ftjob-1", budget: 2, pods: [pod] };
    await Deno.writeTextFile(`${stateFolder}/default.json`, JSON.stringify(state));
    const error = await world.up(`${FOR_JOB} --budget 2`, [
      { at: 50 * MINUTE, do: () => assertEquals(runpod.pods.all.map((one) => one.name), [name]) },
      { at: 59 * MINUTE, do: () => assert(runpod.pods.all[0]!.removedAt !== null, "its lease is over") },
      { at: 70 * MINUTE, do: set(world, "succeeded") },
    ]);
    assertEquals(error, null);
    await assertNothingLeft(world);
  }));
