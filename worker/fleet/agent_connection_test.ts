import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { committedOf, inWorld, isLoaded, rejection, startFleet } from "../testing/agent_fixture.ts";
import { JOB, TEST_LIMITS } from "../testing/test_job.ts";

inWorld("a coordinator that is away for a minute finds its workers again", async (world) => {
  const { coordinator, clock } = world;
  const workers = await startFleet(world, ["w-a", "w-b"]);
  await world.doStep(1);
  await world.until("both have committed", () => workers.every((w) => committedOf(w)?.step === 1));
  coordinator.crash();
  const join = world.join;
  world.join = () => {
    throw new LoraFleetError("timeout", "no answer");
  };
  const joinsBefore = world.joins;
  await clock.advance(60_000);
  assertGreater(world.joins, joinsBefore + 10);
  world.join = join;
  coordinator.setJob(null);
  coordinator.restart();
  await world.until("both are back", () => coordinator.members.length === 2);
  await clock.advance(3000);
  coordinator.setJob(JOB);
  await world.until(
    "both are there with their state",
    () => workers.every((w) => committedOf(w)?.step === 1),
  );
  for (const { engine } of workers) assertEquals(engine.callCounts.load, 1);
  await world.doStep(2);
  assertEquals(coordinator.failures, []);
});

inWorld(
  "a coordinator whose broker lost its terms is heard again after a while",
  async (world) => {
    const { coordinator } = world;
    const workers = await startFleet(world, ["w-a", "w-b"]);
    coordinator.crash();
    coordinator.restart(1);
    const patience = 3 * TEST_LIMITS.coordinatorSilentMs;
    await world.until("both are back", () => coordinator.members.length === 2, patience);
    await world.until("and have their job", () => workers.every(isLoaded));
    assertEquals(workers.map(({ engine }) => engine.callCounts.load), [1, 1]);
  },
);

inWorld("a broker at a new address is found through the join URL", async (world) => {
  const { coordinator, clock } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  coordinator.crash();
  await clock.advance(TEST_LIMITS.coordinatorSilentMs - 2000);
  const reply = world.join();
  world.join = () => ({ ...reply, natsUrl: "nats://elsewhere" });
  coordinator.restart();
  coordinator.crash();
  await clock.advance(4000);
  coordinator.restart();
  await world.until("it is back", () => coordinator.members.length === 1 && isLoaded(worker!), 30_000);
  assertEquals(worker!.engine.callCounts.load, 1);
});

inWorld("a connection that receives nothing is replaced at the second silence", async (world) => {
  const { coordinator, clock } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  const before = world.connections;
  coordinator.crash();
  await clock.advance(TEST_LIMITS.coordinatorSilentMs + 2000);
  assertEquals(world.connections, before);
  await clock.advance(TEST_LIMITS.coordinatorSilentMs + 2000);
  assertEquals(world.connections, before + 2);
  coordinator.restart();
  await world.until("it is back", () => coordinator.members.length === 1 && isLoaded(worker!));
  assertEquals(worker!.engine.callCounts.load, 1);
});

inWorld("a worker waits for a coordinator that is not up yet", async (world) => {
  const join = world.join;
  world.join = () => {
    throw new LoraFleetError("timeout", "connection refused");
  };
  const worker = world.start("w-a");
  await world.clock.advance(20_000);
  assertGreater(world.joins, 8);
  assertEquals(worker.log.length, 1, "a repeated failure is logged once");
  world.join = join;
  await world.until("it is a member", () => worker.heartbeat !== undefined);
});

inWorld("a refused token ends the worker", async (world) => {
  world.join = () => {
    throw new LoraFleetError("unauthorized", "the token is not valid", { param: "join" });
  };
  const worker = world.start("w-a");
  await world.clock.advance(10);
  assertEquals((await rejection(worker.agent.ended)).code, "unauthorized");
});

inWorld("a refused hello ends the worker", async (world) => {
  world.coordinator.welcome = () => ({ type: "refused", reason: "run the same release on both" });
  const worker = world.start("w-a");
  await world.clock.advance(10);
  const error = await rejection(worker.agent.ended);
  assertMatch(error.message, /refuses this worker: run the same release/);
});

inWorld(
  "an unanswered hello is repeated, under a new incarnation once the old one may count as lost",
  async (world) => {
    const welcome = world.coordinator.welcome;
    const heard: string[] = [];
    world.coordinator.welcome = (self) => {
      heard.push(self.incarnation);
      return heard.length <= 4 ? null : welcome(self);
    };
    const worker = world.start("w-a");
    await world.until("it is a member", () => worker.heartbeat !== undefined);
    assertEquals(heard, ["i-w-a-1", "i-w-a-1", "i-w-a-1", "i-w-a-2", "i-w-a-2"]);
  },
);
