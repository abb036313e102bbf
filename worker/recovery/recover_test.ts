import { assertEquals, assertNotEquals } from "@std/assert";
import { committedOf, inWorld, isLoaded, startFleet } from "../testing/agent_fixture.ts";
import { formerDigestOf } from "../../shared/protocol/state/state_digest.ts";
import { JOB, TEST_LIMITS } from "../testing/test_job.ts";
import { createToyEngine } from "../testing/toy_engine.ts";
import { toyLayout } from "../testing/toy_model.ts";
import { serveState } from "./serve_state.ts";

inWorld("a late joiner recovers the newest commit from a holder", async (world) => {
  const { coordinator } = world;
  const [first] = await startFleet(world, ["w-a"]);
  for (let step = 1; step <= 2; step++) await world.doStep(step);
  const late = world.start("w-b");
  await world.until("it has recovered", () => committedOf(late)?.step === 2);
  assertEquals(committedOf(late), coordinator.state.committed);
  assertEquals(first!.engine.callCounts.exportState, 1);
  await world.doStep(3);
  assertEquals(coordinator.failures, []);
  assertEquals(coordinator.updates.length, 4);
});

inWorld("a holder that does not answer is skipped for the next", async (world) => {
  const { coordinator } = world;
  await startFleet(world, ["w-a"]);
  await world.doStep(1);
  // Holds nothing and answers nothing, and comes first or last in the list.
  coordinator.announce({ holders: ["w-0", "w-a", "w-z"] });
  const late = world.start("w-b");
  await world.until("it has recovered", () => committedOf(late)?.step === 1, 120_000);
  assertEquals(committedOf(late), coordinator.state.committed);
});

inWorld("a state whose digest is not the committed one is refused", async (world) => {
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
  await world.doStep(1);
  const late = world.start("w-b");
  await world.until("it has tried", () => late.log.some((line) => line.includes("sent a state")));
  await clock.advance(500);
  assertEquals(committedOf(late)?.step, 1);
  assertNotEquals(committedOf(late)?.digest, coordinator.state.committed?.digest);
});

inWorld("a state that an earlier release has stored is taken under its former digest", async (world) => {
  const { coordinator, clock, bus } = world;
  coordinator.setJob(JOB);
  const late = world.start("w-b");
  await world.until("it has loaded", () => isLoaded(late));
  const elementCount = toyLayout().elementCount;
  const part = (first: number) => Float32Array.from({ length: elementCount }, (_, i) => first + i);
  const stored = { updateCount: 4, adapter: part(1), firstMoment: part(2), secondMoment: part(3) };
  const arrays = [stored.adapter, stored.firstMoment, stored.secondMoment] as const;
  const committed = { step: 4, digest: formerDigestOf(arrays) };
  const server = serveState({
    ...{ bus, clock, limits: TEST_LIMITS, log: () => {}, jobId: JOB.jobId, startId: JOB.startId },
    ...{ self: "c-1", elementCount, exportState: () => Promise.resolve(stored), committed: () => committed },
  });
  coordinator.announce({ step: 5, committed, holders: ["c-1"] });
  await world.until("it has recovered", () => committedOf(late)?.step === 4);
  assertEquals(committedOf(late), committed);
  assertEquals(await late.engine.exportState(), stored);
  server.close();
});

inWorld(
  "a worker declared lost rejoins with its state, and its gradient sums are gone",
  async (world) => {
    const { coordinator } = world;
    const [worker] = await startFleet(world, ["w-a"]);
    await world.doStep(1);
    await world.until("it has committed", () => committedOf(worker!)?.step === 1);
    coordinator.begin(2, 1);
    await coordinator.enqueue(0);
    await world.until("it is added", () => coordinator.claims.length === 3);
    coordinator.lose("w-a");
    await world.until("it is back", () => coordinator.members.length === 1 && isLoaded(worker!));
    assertEquals(coordinator.members[0]!.incarnation, "i-w-a-2");
    await world.until("it has rejoined", () => worker!.heartbeat!.incarnation === "i-w-a-2");
    assertEquals(committedOf(worker!)?.step, 1);
    assertEquals(worker!.engine.callCounts.load, 1);
    coordinator.announce({ attempt: 1, phase: "waiting" });
    await world.doStep(2);
    assertEquals(coordinator.failures, []);
  },
);

inWorld("an update committed unheard is committed after rejoining", async (world) => {
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
  await world.doStep(2);
  assertEquals(coordinator.failures, []);
});
