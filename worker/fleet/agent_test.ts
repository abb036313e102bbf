import { assert, assertEquals, assertGreater, assertLess, assertMatch, assertNotEquals } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import {
  committedOf,
  createWorld,
  isLoaded,
  JOB,
  maximaOf,
  rejection,
  startFleet,
  TEST_LIMITS,
  type World,
} from "../testing/agent_fixture.ts";
import { createToyEngine } from "../testing/toy_engine.ts";

/** Runs a test in a world of its own, which ends with it. */
function inWorld(name: string, work: (world: World) => Promise<void>): void {
  Deno.test(name, async () => {
    const world = await createWorld();
    try {
      await work(world);
    } finally {
      await world.close();
    }
  });
}

inWorld(
  "a worker joins, tells its state four times a second, and leaves when it is drained",
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
  "a worker that is stopped before it has joined says so, and does not speak of a step",
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

inWorld("two workers train: every micro-batch once, the same digests", async (world) => {
  const { coordinator } = world;
  const workers = await startFleet(world, ["w-a", "w-b"]);
  for (let step = 1; step <= 5; step++) {
    await coordinator.doStep(step);
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
    for (let step = 1; step <= 3; step++) await world.coordinator.doStep(step);
    digests.push(world.coordinator.state.committed?.digest);
    await world.close();
  }
  assertEquals(digests[0], digests[1]);
  assertNotEquals(digests[0], undefined);
});

inWorld("a gradient that somebody else's is counted for never gets into the sums", async (world) => {
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
  await coordinator.doStep(1);
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
  await world.until("the round is entered", () => workers[0]!.engine.callCounts.takeSums === 1);
  coordinator.announce({ attempt: 1, phase: "waiting" });
  await world.until("it is rolled back", () => workers[0]!.engine.callCounts.rollback === 2);
  await world.until(
    "the other one is back",
    () => coordinator.members.length === 2 && workers.every(isLoaded),
  );
  await coordinator.doStep(1);
  assertEquals(coordinator.failures, []);
});

inWorld("a round that nobody else enters ends at its deadline, and says who is to blame", async (world) => {
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
  await world.until("the round is entered", () => worker!.engine.callCounts.takeSums === 1);
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
  await other.coordinator.doStep(1);
  assertEquals(coordinator.updates[0]!.digest, other.coordinator.updates[0]!.digest);
  await other.close();
});

inWorld("a worker that joins later recovers the newest commit from one that holds it", async (world) => {
  const { coordinator } = world;
  const [first] = await startFleet(world, ["w-a"]);
  for (let step = 1; step <= 2; step++) await coordinator.doStep(step);
  const late = world.start("w-b");
  await world.until("it has recovered", () => committedOf(late)?.step === 2);
  assertEquals(committedOf(late), coordinator.state.committed);
  assertEquals(first!.engine.callCounts.exportState, 1);
  await coordinator.doStep(3);
  assertEquals(coordinator.failures, []);
  assertEquals(coordinator.updates.length, 4);
});

inWorld("a holder that does not answer is left for another", async (world) => {
  const { coordinator } = world;
  await startFleet(world, ["w-a"]);
  await coordinator.doStep(1);
  // Holds nothing and answers nothing, and comes first or last in the list.
  coordinator.announce({ holders: ["w-0", "w-a", "w-z"] });
  const late = world.start("w-b");
  await world.until("it has recovered", () => committedOf(late)?.step === 1, 120_000);
  assertEquals(committedOf(late), coordinator.state.committed);
});

inWorld("a state with another digest than the committed one does not count", async (world) => {
  const { coordinator, clock } = world;
  coordinator.setJob(JOB);
  const liar = world.start("w-a", {
    newEngine: () => {
      const engine = createToyEngine({ clock });
      const exportState = async () => {
        const state = await engine.exportState();
        state.adapter[0]!++;
        return state;
      };
      return { ...engine, exportState };
    },
  });
  await world.until("it has loaded", () => isLoaded(liar));
  coordinator.announce({ committed: committedOf(liar), holders: ["w-a"] });
  await coordinator.doStep(1);
  const late = world.start("w-b");
  await world.until("it has tried", () => late.log.some((line) => line.includes("gave a state")));
  await clock.advance(500);
  assertEquals(committedOf(late)?.step, 1);
  assertNotEquals(committedOf(late)?.digest, coordinator.state.committed?.digest);
});

inWorld(
  "declared lost, a worker joins again with its state, and its gradient sums are gone",
  async (world) => {
    const { coordinator } = world;
    const [worker] = await startFleet(world, ["w-a"]);
    await coordinator.doStep(1);
    await world.until("it has committed", () => committedOf(worker!)?.step === 1);
    coordinator.begin(2, 1);
    await coordinator.enqueue(0);
    await world.until("it is added", () => coordinator.claims.length === 3);
    coordinator.lose("w-a");
    await world.until("it is back", () => coordinator.members.length === 1 && isLoaded(worker!));
    assertEquals(coordinator.members[0]!.incarnation, "i-w-a-2");
    await world.until("it says so", () => worker!.heartbeat!.incarnation === "i-w-a-2");
    assertEquals(committedOf(worker!)?.step, 1);
    assertEquals(worker!.engine.callCounts.load, 1);
    coordinator.announce({ attempt: 1, phase: "waiting" });
    await coordinator.doStep(2);
    assertEquals(coordinator.failures, []);
  },
);

inWorld("an update that was committed unheard is committed after joining again", async (world) => {
  const { coordinator } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  coordinator.begin(1, 1);
  for (const index of [0, 1]) await coordinator.enqueue(index);
  await world.until("both are claimed", () => coordinator.claims.length === 2);
  coordinator.announce({ phase: "reduce", ledger: [0, 0], labelCount: 8 });
  await world.until("the update is there", () => coordinator.updates.length === 1);
  coordinator.crash();
  await world.clock.advance(5000);
  coordinator.restart();
  await world.until("it is back", () => coordinator.members.length === 1 && isLoaded(worker!));
  assertEquals(committedOf(worker!)?.step, 0);
  const { digest } = coordinator.updates[0]!;
  coordinator.announce({ step: 2, committed: { step: 1, digest } });
  await world.until("it has committed", () => committedOf(worker!)?.step === 1);
  assertEquals(committedOf(worker!)?.digest, digest);
  coordinator.announce({ holders: ["w-a"] });
  await coordinator.doStep(2);
  assertEquals(coordinator.failures, []);
});

inWorld("a coordinator that is away for a minute finds its workers again", async (world) => {
  const { coordinator, clock } = world;
  const workers = await startFleet(world, ["w-a", "w-b"]);
  await coordinator.doStep(1);
  await world.until("both have committed", () => workers.every((w) => committedOf(w)?.step === 1));
  coordinator.crash();
  const join = world.join;
  world.join = () => {
    throw new LoraFleetError("timeout", "nobody is at home");
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
  await coordinator.doStep(2);
  assertEquals(coordinator.failures, []);
});

inWorld(
  "a coordinator whose broker has forgotten its terms is heard after a while all the same",
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

inWorld("a broker at another address is found through the join URL", async (world) => {
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

inWorld("a connection that has gone deaf is replaced at the second silence", async (world) => {
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
  assertEquals(worker.log.length, 1, "the same trouble is told once");
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
  "a hello without an answer is said again, under a new incarnation once the old one may count as lost",
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

inWorld("a job that cannot be loaded is told, and the next one is taken", async (world) => {
  const { coordinator } = world;
  coordinator.setJob(JOB);
  const worker = world.start("w-a", {
    findBaseModel: (_reply, job) =>
      job.startId === "s-1"
        ? Promise.reject(new LoraFleetError("does_not_fit", "too large", { param: "model" }))
        : Promise.resolve("/models/toy"),
  });
  await world.until("it has failed", () => worker.heartbeat?.job?.phase === "failed");
  const job = worker.heartbeat!.job!;
  assert(job.phase === "failed");
  assertEquals([job.code, job.message, job.param, job.startId], [
    "does_not_fit",
    "too large",
    "model",
    "s-1",
  ]);
  coordinator.setJob({ ...JOB, startId: "s-2" });
  await world.until("it has loaded", () => isLoaded(worker));
  assertEquals(worker.heartbeat!.job!.startId, "s-2");
});

inWorld("a job that is over is forgotten, and not loaded again while it is announced", async (world) => {
  const { coordinator } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  await coordinator.doStep(1);
  coordinator.announce({ phase: "done" });
  await world.until("it is forgotten", () => worker!.heartbeat!.job === null);
  await world.clock.advance(5000);
  assertEquals(worker!.heartbeat!.job, null);
  assertEquals(worker!.engine.callCounts, { ...worker!.engine.callCounts, load: 1, close: 1 });
});

inWorld("a cancelled job is called cancelled in the log, not failed", async (world) => {
  const { coordinator } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  await coordinator.doStep(1);
  coordinator.announce({ phase: "cancelled" });
  await world.until("it is forgotten", () => worker!.heartbeat!.job === null);
  assertMatch(worker!.log.at(-1)!, / info job ftjob-a was cancelled at step \d$/);
});

inWorld("the log says that a job starts again", async (world) => {
  const { coordinator } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  const before = worker!.log.length;
  coordinator.setJob({ ...JOB, startId: "s-2" });
  await world.until(
    "it is loaded again",
    () => isLoaded(worker!) && worker!.heartbeat!.job!.startId === "s-2",
  );
  assertMatch(worker!.log[before]!, / info job ftjob-a starts again$/);
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

inWorld("draining does not wait for a coordinator that is gone", async (world) => {
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

inWorld("the only one with the newest state stays until another has it", async (world) => {
  const { coordinator, clock } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  await coordinator.doStep(1);
  const late = world.start("w-b", {}, { delayMs: (call) => call === "load" ? 3000 : 0 });
  await world.until("it is a member", () => late.heartbeat !== undefined);
  worker!.agent.drain();
  await world.until("it has recovered", () => committedOf(late)?.step === 1);
  assertEquals(coordinator.left, []);
  coordinator.announce({ holders: ["w-a", "w-b"] });
  await clock.advance(15_000);
  assertEquals(coordinator.left, ["w-a: drained"]);
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
  await world.until("it says so", () => coordinator.failures.length === 1);
  assertEquals(coordinator.failures[0]!.suspects, ["w-a"]);
  assertMatch(coordinator.failures[0]!.reason, /device lost/);
  coordinator.announce({ attempt: 1, phase: "waiting" });
  await coordinator.doStep(1);
});

inWorld(
  "an engine that cannot be trusted is replaced, and the state comes from the others",
  async (world) => {
    const { coordinator } = world;
    coordinator.setJob(JOB);
    let engines = 0;
    const broken = world.start("w-a", {}, {
      fault: (call, number) => {
        if (call === "load") engines++;
        if (engines === 1 && call === "commit" && number === 1) {
          throw new LoraFleetError("gpu_failure", "lost");
        }
      },
    });
    const other = world.start("w-b");
    await world.until("both have loaded", () => isLoaded(broken) && isLoaded(other));
    coordinator.announce({ committed: committedOf(other), holders: ["w-a", "w-b"] });
    await coordinator.doStep(1);
    coordinator.announce({ holders: ["w-b"] });
    await world.until("it has the state again", () => engines === 2 && committedOf(broken)?.step === 1);
    assertEquals(committedOf(broken), coordinator.state.committed);
  },
);

inWorld("a loss that is not finite is told as null", async (world) => {
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
  await world.until("it says so", () => coordinator.failures.length === 1);
  assertMatch(coordinator.failures[0]!.reason, /norm is NaN over 0 labels/);
  assertEquals(coordinator.failures[0]!.suspects, []);
});

inWorld(
  "a worker whose disk is full says so, tries again by itself, and takes part when there is room",
  async (world) => {
    const { coordinator, clock } = world;
    let tries = 0;
    let isFull = true;
    coordinator.setJob(JOB);
    const worker = world.start("w-a", {
      findBaseModel: () => {
        tries++;
        return isFull
          ? Promise.reject(new LoraFleetError("storage", "No space left on device"))
          : Promise.resolve("/models/base");
      },
    });
    const jobOf = () => coordinator.heartbeats.get("w-a")?.job;
    await world.until("it says so", () => jobOf()?.phase === "failed");
    const phases = new Set<string | undefined>();
    for (let second = 0; second < 100; second++) {
      await clock.advance(1000);
      phases.add(jobOf()?.phase);
    }
    // 1, 2, 4, … s after each other, and the coordinator hears of one failure, not of each.
    assertEquals([tries, [...phases]], [7, ["failed"]]);
    const failure = jobOf();
    assert(failure?.phase === "failed" && failure.code === "storage");
    assertMatch(failure.message, /No space left on device; this worker tries again by itself: make room/);
    isFull = false;
    await world.until("it has loaded", () => isLoaded(worker));
  },
);

inWorld(
  "the checkpoint's writer stores it and says so once; a failure is told with its reason",
  async (world) => {
    const { coordinator, clock } = world;
    let tries = 0;
    coordinator.setJob(JOB);
    const worker = world.start("w-a", {
      writeCheckpoint: (_reply, _engine, _job, step) =>
        ++tries === 1
          ? Promise.reject(new LoraFleetError("storage", "disk full"))
          : Promise.resolve([{ name: "adapter_config.json", size: step, sha256: "a".repeat(64) }]),
    });
    await world.until("it has loaded", () => isLoaded(worker));
    coordinator.announce({ committed: committedOf(worker), holders: ["w-a"] });
    await coordinator.doStep(1);
    coordinator.announce({ step: 1, phase: "checkpoint", checkpointWriter: "w-b" });
    await clock.advance(2000);
    assertEquals(tries, 0);
    coordinator.announce({ phase: "checkpoint", checkpointWriter: "w-a" });
    await world.until("it has failed", () => coordinator.checkpoints.length === 1);
    assertEquals(coordinator.checkpoints[0]!.outcome, { type: "failed", reason: "disk full" });
    await clock.advance(3000);
    assertEquals(tries, 1);
    coordinator.announce({ phase: "checkpoint", checkpointWriter: "w-a" });
    await world.until("it is written", () => coordinator.checkpoints.length === 2);
    assertEquals([coordinator.checkpoints[1]!.step, coordinator.checkpoints[1]!.outcome.type], [
      1,
      "written",
    ]);
    await clock.advance(3000);
    assertEquals([tries, coordinator.checkpoints.length], [2, 2]);
  },
);

inWorld(
  "an item that is audited is claimed with the digest of its gradient, any other without",
  async (world) => {
    const { coordinator } = world;
    const workers = await startFleet(world, ["w-a"]);
    coordinator.begin(1, 1);
    await coordinator.enqueue(0, { audit: true });
    await coordinator.enqueue(1);
    await world.until("both are added", () => workers[0]!.engine.callCounts.accumulate === 2);
    const digests = new Map(coordinator.claims.map(({ index, gradientDigest }) => [index, gradientDigest]));
    assertMatch(digests.get(0)!, /^[0-9a-f]{64}$/);
    assertEquals(digests.get(1), null);
  },
);

inWorld(
  "assignments: an audit is computed once and is in no sums, a claim is as good as one of the queue",
  async (world) => {
    const { coordinator } = world;
    const [worker, other] = await startFleet(world, ["w-a", "w-b"]);
    const assignments = [
      { id: 5, index: 0, worker: "w-a", purpose: "audit" as const },
      { id: 6, index: 1, worker: "w-a", purpose: "claim" as const },
    ];
    coordinator.begin(1, 1, { assignments });
    await world.until("both are reported", () => coordinator.claims.length === 2);
    // Announced again and again, and done once.
    await world.clock.advance(3000);
    coordinator.announce({ assignments });
    await world.clock.advance(3000);
    assertEquals(coordinator.claims.map(({ index, audit }) => [index, audit]), [[0, 5], [1, null]]);
    assertMatch(coordinator.claims[0]!.gradientDigest!, /^[0-9a-f]{64}$/);
    const { computeGradient, accumulate } = worker!.engine.callCounts;
    assertEquals([computeGradient, accumulate, other!.engine.callCounts.computeGradient], [2, 1, undefined]);
    coordinator.announce({ assignments: [], phase: "reduce", ledger: [null, 0], labelCount: 4 });
    await world.until("both have the update", () => coordinator.updates.length === 2);
    assertEquals(coordinator.updates[0]!.digest, coordinator.updates[1]!.digest);
    assertEquals(coordinator.failures, []);
  },
);

inWorld("a worker that has the micro-batch in its sums audits it without adding it again", async (world) => {
  const { coordinator } = world;
  const [worker] = await startFleet(world, ["w-a"]);
  coordinator.begin(1, 1);
  await coordinator.enqueue(0, { audit: true });
  await world.until("it is added", () => worker!.engine.callCounts.accumulate === 1);
  coordinator.announce({ assignments: [{ id: 1, index: 0, worker: "w-a", purpose: "audit" }] });
  await world.until("it has answered", () => coordinator.claims.length === 2);
  assertEquals(coordinator.claims[1]!.gradientDigest, coordinator.claims[0]!.gradientDigest);
  coordinator.announce({ assignments: [{ id: 2, index: 0, worker: "w-a", purpose: "claim" }] });
  await world.clock.advance(3000);
  assertEquals([worker!.engine.callCounts.accumulate, coordinator.claims.length], [1, 2]);
});

inWorld(
  "an assignment that stands no more is not waited for: the worker takes part in the round",
  async (world) => {
    const { coordinator, clock } = world;
    await startFleet(world, ["w-a", "w-b"]);
    coordinator.givesItems = false;
    coordinator.begin(1, 1, { assignments: [{ id: 1, index: 0, worker: "w-a", purpose: "claim" }] });
    await clock.advance(2000);
    // Somebody else's was counted meanwhile.
    for (const index of [0, 1]) await coordinator.enqueue(index);
    await world.until("w-b has both", () => coordinator.claims.length === 2);
    coordinator.announce({ assignments: [], phase: "reduce", ledger: [1, 1], labelCount: 8 });
    const announcedAt = clock.now();
    await world.until("both have the update", () => coordinator.updates.length === 2);
    assertLess(clock.now() - announcedAt, 1000);
    assertEquals(coordinator.failures, []);
  },
);
