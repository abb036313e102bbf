import { assertEquals, assertMatch } from "@std/assert";
import { systemClock } from "../../shared/clock.ts";
import { parseJobRequest } from "../job_request/parse.ts";
import { errorOf, withWorld } from "../testing/app_fixture.ts";
import { createDiskRoom, keepRoom } from "./disk_room.ts";

const MIB = 2 ** 20;

Deno.test("low and high watermarks: off below one, on again above the other; 1 % of the disk by default", async () => {
  let freeBytes = 100 * MIB;
  const measure = () => Promise.resolve({ freeBytes, sizeBytes: 4000 * MIB });
  const room = createDiskRoom({ folder: "/", minFreeBytes: null, measure });
  const lookAt = async (free: number) => {
    freeBytes = free * MIB;
    return await room.look();
  };
  const seen: boolean[] = [];
  for (const free of [100, 41, 39, 41, 49, 51, 41]) seen.push(await lookAt(free));
  assertEquals(seen, [true, true, false, false, false, true, true]);
  assertEquals(room.reserveBytes(), 40 * MIB);
  const unwatched = createDiskRoom({
    folder: "/",
    minFreeBytes: 0,
    measure: () => Promise.reject(new Error("asked")),
  });
  assertEquals([await unwatched.look(), unwatched.reserveBytes()], [true, 0]);
  await unwatched.assertRoomFor(2 ** 60, "anything");
});

Deno.test("the disk of this machine is measured", async () => {
  const room = createDiskRoom({ folder: Deno.cwd(), minFreeBytes: 1 });
  assertEquals(await room.look(), true);
  assertEquals(room.reserveBytes(), 1);
});

Deno.test("jobs pause before the disk is full, and go on when there is room; nothing that takes room begins meanwhile", async () => {
  let freeBytes = 100 * MIB;
  const disk = {
    minFreeBytes: 40 * MIB,
    measure: () => Promise.resolve({ freeBytes, sizeBytes: 1000 * MIB }),
  };
  await withWorld({ disk, maxUploadBytes: 100 * MIB }, async (world) => {
    const { app, fleet, jobs, store, services } = world;
    const room = services.room as ReturnType<typeof createDiskRoom>;
    const log: string[] = [];
    const look = () =>
      keepRoom({ room, jobs, store, clock: systemClock, log: (_level, message) => void log.push(message) });
    const { id: training_file } = await world.upload("a");
    const blocked = Promise.withResolvers<void>();
    fleet.beforeStep = (_job, step, signal) =>
      step < 2 ? Promise.resolve() : Promise.race([
        blocked.promise,
        new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
      ]);
    const create = async () => (await jobs.create(parseJobRequest({ model: "org/tiny", training_file }))).id;
    const [first, second] = [await create(), await create()];
    const asked = await create();
    await world.until(first, ({ step }) => step === 1);
    await world.until(second, ({ status }) => status === "queued");
    jobs.pause(asked);

    freeBytes = 30 * MIB;
    await look();
    await look();
    assertEquals([first, second, asked].map((id) => jobs.get(id).status), ["paused", "queued", "paused"]);
    const problem = `${30 * MIB} bytes are free on the disk of the data folder: jobs pause until there are ${
      50 * MIB
    }`;
    assertEquals(world.messages(first).at(-1), `The job pauses: ${problem}.`);
    assertEquals(log, [problem]);
    const post = (path: string, body: unknown) =>
      app.request(`http://localhost/v1/${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    const refused = await post("fine_tuning/jobs", { model: "org/tiny", training_file });
    assertMatch(
      (await refused.clone().json()).error.message,
      /a job needs 0 bytes, and 41943040 stay free for jobs that run \(--min-free-mib\), but only 31457280 bytes are free/,
    );
    assertEquals(await errorOf(refused), [507, "storage", "data-folder"]);
    const announced = { filename: "a.jsonl", purpose: "fine-tune", mime_type: "text/plain" };
    assertEquals((await post("uploads", { ...announced, bytes: 3 })).status, 507);
    assertEquals((await post(`fine_tuning/jobs/${first}/exports`, { kind: "adapter" })).status, 507);

    freeBytes = 60 * MIB;
    await look();
    await world.until(first, ({ status }) => status === "queued" || status === "running");
    assertEquals(jobs.get(first).pausedFor, undefined);
    // What a person has paused stays paused.
    assertEquals(jobs.get(asked).status, "paused");
    assertEquals(log.at(-1), "the disk has room again: jobs go on");
    // Larger than what is free above the watermark.
    assertEquals((await post("uploads", { ...announced, bytes: 30 * MIB })).status, 507);
    assertEquals((await post("uploads", { ...announced, bytes: 3 })).status, 200);
    blocked.resolve();
    assertEquals((await world.finished(first)).status, "succeeded");
    assertEquals((await world.finished(second)).status, "succeeded");
  });
});

Deno.test("a coordinator that starts on a disk that is nearly full trains nothing until there is room", async () => {
  let freeBytes = 10 * MIB;
  const disk = {
    minFreeBytes: 40 * MIB,
    measure: () => Promise.resolve({ freeBytes, sizeBytes: 1000 * MIB }),
  };
  await withWorld({ disk }, async (world) => {
    const { jobs, store, services } = world;
    const room = services.room as ReturnType<typeof createDiskRoom>;
    await room.look();
    const { id: training_file } = await world.upload("a");
    const { id } = await jobs.create(parseJobRequest({ model: "org/tiny", training_file }));
    await world.until(id, ({ status }) => status === "queued");
    await keepRoom({ room, jobs, store, clock: systemClock, log: () => {} });
    assertEquals(jobs.get(id).status, "queued");
    freeBytes = 60 * MIB;
    await keepRoom({ room, jobs, store, clock: systemClock, log: () => {} });
    assertEquals((await world.finished(id)).status, "succeeded");
  });
});
