import { assertEquals, assertGreater, assertMatch, assertNotEquals } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import {
  committedOf,
  createWorld,
  inWorld,
  isLoaded,
  maximaOf,
  startFleet,
} from "../testing/agent_fixture.ts";
import { JOB, TEST_LIMITS } from "../testing/test_job.ts";

inWorld("two workers train: every micro-batch once, the same digests", async (world) => {
  const { coordinator } = world;
  const workers = await startFleet(world, ["w-a", "w-b"]);
  for (let step = 1; step <= 5; step++) {
    await world.doStep(step);
    await world.until("both have committed", () => workers.every((w) => committedOf(w)?.step === step));
    assertEquals(committedOf(workers[0]!), coordinator.state.committed);
    assertEquals(committedOf(workers[1]!), coordinator.state.committed);
  }
  assertEquals(coordinator.failures, []);
  assertEquals(coordinator.claims.length, 10);
  await world.clock.advance(500);
  assertEquals(workers.reduce((sum, { heartbeat }) => sum + heartbeat!.microBatchesDone, 0), 10);
  for (const { heartbeat } of workers) assertGreater(heartbeat!.gradientBytesSent, 0);
});

Deno.test("who did which micro-batch makes no difference: one worker gives the same adapter as three", async () => {
  const digests: (string | undefined)[] = [];
  for (const ids of [["w-a"], ["w-a", "w-b", "w-c"]]) {
    const world = await createWorld();
    await startFleet(world, ids);
    for (let step = 1; step <= 3; step++) await world.doStep(step);
    digests.push(world.coordinator.state.committed?.digest);
    await world.close();
  }
  assertEquals(digests[0], digests[1]);
  assertNotEquals(digests[0], undefined);
});

inWorld("a gradient whose micro-batch a peer was counted for never gets into the sums", async (world) => {
  const { coordinator } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  coordinator.verdict = (report) => report.index === 0 ? "duplicate" : "counted";
  coordinator.begin(1, 1);
  for (const index of [0, 1]) await coordinator.enqueue(index);
  await world.until("both are claimed", () => coordinator.claims.length === 2);
  await world.until("one is added", () => worker!.engine.callCounts.accumulate === 1);
  coordinator.announce({ phase: "reduce", ledger: [0, 0], labelCount: 8 });
  await world.until("it objects to the ledger", () => coordinator.failures.length === 1);
  assertMatch(coordinator.failures[0]!.reason, /gives this worker \[0,1\], its sums hold \[1\]/);
  assertEquals(coordinator.failures[0]!.suspects, ["w-a"]);
  coordinator.announce({ phase: "waiting" });
  await world.until("the sums are forgotten", () => worker!.engine.callCounts.rollback === 2);
});

inWorld("an item that comes again is acknowledged, not computed again", async (world) => {
  const { coordinator } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  coordinator.begin(1, 1);
  await coordinator.enqueue(0);
  await world.until("it is added", () => worker!.engine.callCounts.accumulate === 1);
  await coordinator.enqueue(0);
  await coordinator.enqueue(1);
  await world.until("the next is added", () => worker!.engine.callCounts.accumulate === 2);
  assertEquals(worker!.engine.callCounts.computeGradient, 2);
});

inWorld("items of older attempts and other starts are thrown away", async (world) => {
  const { coordinator } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  coordinator.begin(1, 3);
  await coordinator.enqueue(0, { attempt: 2 });
  await coordinator.enqueue(0, { startId: "s-0" });
  await coordinator.enqueue(0, { specHash: "another" });
  await coordinator.enqueue(1);
  await world.until("the right one is added", () => worker!.engine.callCounts.accumulate === 1);
  assertEquals(coordinator.claims.map(({ attempt, index }) => [attempt, index]), [[3, 1]]);
  await world.clock.advance(2 * TEST_LIMITS.microBatchAckWaitMs);
  assertEquals(worker!.engine.callCounts.computeGradient, 1);
});

inWorld("an item that comes before its attempt is announced waits for it", async (world) => {
  const { coordinator, clock } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  coordinator.begin(1, 1);
  await coordinator.enqueue(0, { attempt: 2 });
  await clock.advance(700);
  assertEquals(worker!.engine.callCounts.computeGradient, undefined);
  coordinator.begin(1, 2);
  await world.until("it is computed", () => coordinator.claims.length === 1, 100);
  assertEquals(coordinator.claims[0]!.attempt, 2);
});

inWorld("an attempt without exponents finds the maxima, adds nothing, and is rolled back", async (world) => {
  const { coordinator } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  coordinator.begin(1, 1, { exponents: null });
  for (const index of [0, 1]) await coordinator.enqueue(index);
  await world.until("both are claimed", () => coordinator.claims.length === 2);
  // B is zero at the start, so that the gradient of A is zero, too.
  assertEquals(maximaOf(coordinator.claims[0]!)[0], 0);
  assertGreater(maximaOf(coordinator.claims[0]!)[1]!, 0);
  assertEquals(worker!.engine.callCounts.accumulate, undefined);
  coordinator.announce({ attempt: 1, phase: "waiting" });
  await world.doStep(1);
  assertEquals(coordinator.failures, []);
});

inWorld("a claim is repeated until it is answered, and is the same claim", async (world) => {
  const { coordinator } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  const verdict = coordinator.verdict;
  coordinator.verdict = (report) => {
    const answer = verdict(report);
    return coordinator.claims.length < 3 ? null : answer;
  };
  coordinator.begin(1, 1);
  await coordinator.enqueue(0);
  await world.until("it is added", () => worker!.engine.callCounts.accumulate === 1);
  assertEquals(coordinator.claims.map(({ claim }) => claim), [1, 1, 1]);
});

inWorld("a new attempt ends what is going on in the old one", async (world) => {
  const { coordinator } = world;
  const workers = await startFleet(world, ["w-a", "w-b"]);
  coordinator.begin(1, 1);
  for (const index of [0, 1]) await coordinator.enqueue(index);
  await world.until("both are claimed", () => coordinator.claims.length === 2);
  // A round that cannot end: the other member does not know of it.
  const owner = coordinator.claims.map(({ worker }) => worker === "w-a" ? 0 : 1);
  coordinator.lose("w-b");
  coordinator.announce({
    phase: "reduce",
    ledger: owner,
    labelCount: 8,
    members: coordinator.state.members,
  });
  await world.until("the round is entered", () => workers[0]!.engine.callCounts.readSums === 1);
  coordinator.announce({ attempt: 1, phase: "waiting" });
  await world.until("it is rolled back", () => workers[0]!.engine.callCounts.rollback === 2);
  await world.until(
    "the other one is back",
    () => coordinator.members.length === 2 && workers.every(isLoaded),
  );
  await world.doStep(1);
  assertEquals(coordinator.failures, []);
});

inWorld("a round that no peer enters ends at its deadline, and names the members to blame", async (world) => {
  const { coordinator } = world;
  await startFleet(world, ["w-a"]);
  const members = [...coordinator.members, { worker: "w-x", incarnation: "i-x" }];
  coordinator.begin(1, 1, { members });
  for (const index of [0, 1]) await coordinator.enqueue(index);
  await world.until("both are claimed", () => coordinator.claims.length === 2);
  coordinator.announce({ phase: "reduce", ledger: [0, 0], labelCount: 8, roundMs: 5000 });
  await world.until("it gives up", () => coordinator.failures.length === 1, 6000);
  assertEquals(coordinator.failures[0]!.suspects, ["w-x"]);
  assertMatch(coordinator.failures[0]!.reason, /not done after 5000 ms/);
});

inWorld("a round is done again with other members, and nothing is computed twice", async (world) => {
  const { coordinator } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  const alone = [...coordinator.members];
  const both = [...alone, { worker: "w-x", incarnation: "i-x" }];
  coordinator.begin(1, 1, { members: both });
  await coordinator.enqueue(0);
  await world.until("it is claimed", () => coordinator.claims.length === 1);
  coordinator.announce({ phase: "reduce", ledger: [0, 1], labelCount: 8 });
  await world.until("the round is entered", () => worker!.engine.callCounts.readSums === 1);
  // The other one is lost: its micro-batch is done again, and the round with it.
  coordinator.announce({ phase: "compute", members: alone, generation: 900, ledger: [] });
  await coordinator.enqueue(1);
  await world.until("the other's is claimed", () => coordinator.claims.length === 2);
  coordinator.announce({ phase: "reduce", ledger: [0, 0] });
  await world.until("it has the update", () => coordinator.updates.length === 1);
  assertEquals(coordinator.updates[0]!.generation, 900);
  assertEquals(worker!.engine.callCounts.computeGradient, 2);
  assertEquals(coordinator.failures, []);

  const other = await createWorld();
  await startFleet(other, ["w-a"]);
  await other.doStep(1);
  assertEquals(coordinator.updates[0]!.digest, other.coordinator.updates[0]!.digest);
  await other.close();
});

inWorld("a GPU that fails in the middle of an attempt blames itself", async (world) => {
  const { coordinator } = world;
  coordinator.setJob(JOB);
  const fault = (call: string, number: number) => {
    if (call === "computeGradient" && number === 1) throw new LoraFleetError("gpu_failure", "device lost");
  };
  const worker = world.start("w-a", {}, { fault });
  await world.until("it has loaded", () => isLoaded(worker));
  coordinator.announce({ committed: committedOf(worker), holders: ["w-a"] });
  coordinator.begin(1, 1);
  await coordinator.enqueue(0);
  await world.until("it reports that", () => coordinator.failures.length === 1);
  assertEquals(coordinator.failures[0]!.suspects, ["w-a"]);
  assertMatch(coordinator.failures[0]!.reason, /device lost/);
  coordinator.announce({ attempt: 1, phase: "waiting" });
  await world.doStep(1);
});

inWorld("a loss that is not finite is reported as null", async (world) => {
  const { coordinator } = world;
  coordinator.setJob(JOB);
  const worker = world.start("w-a", {}, { spoil: (gradient) => void (gradient[70] = NaN) });
  await world.until("it has loaded", () => isLoaded(worker));
  coordinator.announce({ committed: committedOf(worker), holders: ["w-a"] });
  coordinator.begin(1, 1, { exponents: null });
  await coordinator.enqueue(0);
  await world.until("it is claimed", () => coordinator.claims.length === 1);
  assertEquals(maximaOf(coordinator.claims[0]!), [0, NaN]);
});

inWorld("a step without a target token is a failure, not a division by zero", async (world) => {
  const { coordinator } = world;
  await startFleet(world, ["w-a"]);
  coordinator.begin(1, 1);
  for (const index of [0, 1]) await coordinator.enqueue(index);
  await world.until("both are claimed", () => coordinator.claims.length === 2);
  coordinator.announce({ phase: "reduce", ledger: [0, 0], labelCount: 0 });
  await world.until("it reports that", () => coordinator.failures.length === 1);
  assertMatch(coordinator.failures[0]!.reason, /norm is NaN over 0 labels/);
  assertEquals(coordinator.failures[0]!.suspects, []);
});
