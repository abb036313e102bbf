import { assertEquals, assertMatch } from "@std/assert";
import { committedOf, inWorld, startFleet } from "../testing/agent_fixture.ts";
import { TEST_LIMITS } from "../testing/test_job.ts";

inWorld(
  "a worker joins, reports its state four times a second, and leaves when it is drained",
  async (world) => {
    const { clock, coordinator } = world;
    const worker = world.start("w-a");
    await world.until("it is a member", () => worker.heartbeat !== undefined);
    assertEquals(coordinator.members, [{ worker: "w-a", incarnation: "i-w-a-1" }]);
    assertEquals(worker.heartbeat!.name, "the w-a");
    assertEquals([worker.heartbeat!.job, worker.heartbeat!.draining], [null, false]);
    let beats = 0;
    world.bus.subscribe("lf.heartbeat.w-a", () => void beats++);
    await clock.advance(2000);
    assertEquals(beats, 8);
    worker.agent.drain();
    await worker.agent.ended;
    assertEquals(coordinator.left, ["w-a: drained"]);
    assertEquals(worker.heartbeat!.draining, true);
  },
);

inWorld(
  "a worker stopped before it joined logs that, and does not mention a step",
  async (world) => {
    world.coordinator.welcome = () => null;
    const worker = world.start("w-a");
    await world.clock.advance(500);
    worker.agent.drain();
    await worker.agent.ended;
    const words = worker.log.join("\n");
    assertMatch(words, /stopped before joining a fleet/);
    assertEquals(words.includes("step"), false);
  },
);

inWorld("a worker is idle before a job, not during it, and again when it is over", async (world) => {
  const { coordinator } = world;
  assertEquals(world.start("w-b").agent.isIdle, true, "it has not joined yet");
  const [worker] = await startFleet(world, ["w-a"]);
  await world.doStep(1);
  assertEquals(worker!.agent.isIdle, false);
  coordinator.announce({ phase: "done" });
  await world.until("it has heard that", () => worker!.agent.isIdle);
});

inWorld("draining finishes the attempt first", async (world) => {
  const { coordinator, clock } = world;
  const workers = await startFleet(world, ["w-a", "w-b"]);
  coordinator.begin(1, 1);
  await coordinator.enqueue(0);
  workers[0]!.agent.drain();
  await clock.advance(3000);
  assertEquals(coordinator.left, []);
  assertEquals(workers[0]!.heartbeat!.draining, true);
  await coordinator.enqueue(1);
  await world.until("both are claimed", () => coordinator.claims.length === 2);
  const ledger = [0, 1].map((index) =>
    coordinator.claims.find((claim) => claim.index === index)!.worker === "w-a" ? 0 : 1
  );
  coordinator.announce({ phase: "reduce", ledger, labelCount: 8 });
  await world.until("both have the update", () => coordinator.updates.length === 2);
  assertEquals(coordinator.left, []);
  const committed = { step: 1, digest: coordinator.updates[0]!.digest };
  coordinator.announce({
    step: 2,
    attempt: 0,
    phase: "waiting",
    members: [],
    committed,
    holders: ["w-a", "w-b"],
  });
  await world.until("it has left", () => coordinator.left.length === 1);
  assertEquals(coordinator.left, ["w-a: drained"]);
  await workers[0]!.agent.ended;
});

inWorld("draining does not wait for a lost coordinator", async (world) => {
  const { coordinator, clock } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  coordinator.begin(1, 1);
  await clock.advance(2000);
  coordinator.crash();
  worker!.agent.drain();
  let hasEnded = false;
  worker!.agent.ended.then(() => hasEnded = true);
  await world.until("it has ended", () => hasEnded, TEST_LIMITS.coordinatorSilentMs + 5000);
});

inWorld("the only holder of the newest state stays until a peer has it", async (world) => {
  const { coordinator, clock } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  await world.doStep(1);
  const late = world.start("w-b", {}, { delayMs: (call) => call === "load" ? 3000 : 0 });
  await world.until("it is a member", () => late.heartbeat !== undefined);
  worker!.agent.drain();
  await world.until("it has recovered", () => committedOf(late)?.step === 1);
  assertEquals(coordinator.left, []);
  coordinator.announce({ holders: ["w-a", "w-b"] });
  await clock.advance(15_000);
  assertEquals(coordinator.left, ["w-a: drained"]);
});
