import { assertEquals, assertMatch } from "@std/assert";
import { encodeMessage } from "../../shared/protocol/messages_codec.ts";
import { type Measurement, measurementSchema } from "../../shared/protocol/messages_measure.ts";
import { MEASUREMENT_SUBJECT } from "../../shared/protocol/subjects.ts";
import { inWorld, type World } from "../testing/agent_fixture.ts";
import { JOB, TEST_LIMITS } from "../testing/test_job.ts";

/** A worker whose measurements end when the test says so, or when they are given up. */
async function startMeasurer(world: World) {
  const events: string[] = [];
  let finish = () => {};
  const worker = world.start("w-a", {
    measure(reply, { exportId, attempt }, signal) {
      events.push(`begins ${exportId} ${attempt} for ${reply().httpUrl}`);
      const done = Promise.withResolvers<void>();
      finish = done.resolve;
      signal.addEventListener("abort", () => {
        events.push(`gives up ${attempt}`);
        done.reject(signal.reason);
      });
      return done.promise.then(() => void events.push(`has measured ${attempt}`));
    },
  });
  await world.until("it is a member", () => worker.heartbeat !== undefined);
  const ask = async (change: Partial<Measurement>) => {
    const asked = {
      coordinatorId: "c",
      worker: "w-a",
      incarnation: "i-w-a-1",
      exportId: "ftexport-1",
      attempt: 1,
      ...change,
    };
    world.bus.publish(MEASUREMENT_SUBJECT, encodeMessage(measurementSchema, asked));
    await world.clock.advance(20);
  };
  return { worker, events, ask, finish: () => finish() };
}

const BEGINS = (attempt: number) => `begins ftexport-1 ${attempt} for http://coordinator`;

inWorld("an idle worker measures what it is asked for, each attempt once", async (world) => {
  const { events, ask, finish } = await startMeasurer(world);
  await ask({ worker: "w-b" });
  await ask({ incarnation: "i-w-a-0" });
  assertEquals(events, []);
  await ask({});
  await ask({});
  assertEquals(events, [BEGINS(1)]);
  finish();
  await world.clock.advance(20);
  await ask({});
  assertEquals(events, [BEGINS(1), "has measured 1"]);
  await ask({ attempt: 2 });
  assertEquals(events.at(-1), BEGINS(2));
});

inWorld(
  "a worker stops measuring when somebody else is asked, and when nobody asks any more",
  async (world) => {
    const { events, ask } = await startMeasurer(world);
    await ask({});
    await ask({ worker: "w-b", attempt: 2 });
    assertEquals(events, [BEGINS(1), "gives up 1"]);
    await ask({ attempt: 3 });
    await world.clock.advance(TEST_LIMITS.coordinatorSilentMs + 1000);
    assertEquals(events.slice(2), [BEGINS(3), "gives up 3"]);
  },
);

inWorld("a job takes the GPU from a measurement, and none begins while it runs", async (world) => {
  const { worker, events, ask } = await startMeasurer(world);
  await ask({});
  world.coordinator.setJob(JOB);
  await world.until("the job is loaded", () => worker.heartbeat?.job?.phase === "loaded");
  assertEquals(events, [BEGINS(1), "gives up 1"]);
  await ask({ attempt: 2 });
  assertEquals(events.length, 2);
  world.coordinator.announce({ phase: "done" });
  await world.until("the job is over", () => worker.heartbeat?.job === null);
  await ask({ attempt: 3 });
  assertEquals(events.at(-1), BEGINS(3));
});

inWorld("a measurement that fails without handing in is logged", async (world) => {
  const worker = world.start("w-a", { measure: () => Promise.reject(new Error("no disk")) });
  await world.until("it is a member", () => worker.heartbeat !== undefined);
  const asked = {
    coordinatorId: "c",
    worker: "w-a",
    incarnation: "i-w-a-1",
    exportId: "ftexport-1",
    attempt: 1,
  };
  world.bus.publish(MEASUREMENT_SUBJECT, encodeMessage(measurementSchema, asked));
  await world.clock.advance(20);
  assertMatch(worker.log.join("\n"), /a measurement failed: no disk/);
});
