import { assertEquals, assertLess, assertMatch } from "@std/assert";
import { inWorld, startFleet } from "../testing/agent_fixture.ts";

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
    // A peer's was counted meanwhile.
    for (const index of [0, 1]) await coordinator.enqueue(index);
    await world.until("w-b has both", () => coordinator.claims.length === 2);
    coordinator.announce({ assignments: [], phase: "reduce", ledger: [1, 1], labelCount: 8 });
    const announcedAt = clock.now();
    await world.until("both have the update", () => coordinator.updates.length === 2);
    assertLess(clock.now() - announcedAt, 1000);
    assertEquals(coordinator.failures, []);
  },
);
