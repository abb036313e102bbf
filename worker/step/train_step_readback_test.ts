/** Steps whose sums come from the engine in pieces, into memory that is the same for every reading. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { GpuReset } from "../device/error_scopes.ts";
import { ResettingEngine } from "../engine/resetting_engine.ts";
import { committedOf, createWorld, inWorld, isLoaded, type World } from "../testing/agent_fixture.ts";
import { losingEngine } from "../testing/losing_engine.ts";
import { JOB } from "../testing/test_job.ts";
import type { ToyEngineOptions } from "../testing/toy_engine.ts";
import { toyLayout } from "../testing/toy_model.ts";

/** 2 MiB of sums: four chunks. */
const FACTOR_SIZE = 2 ** 18;
const ELEMENTS = toyLayout(4, FACTOR_SIZE).elementCount;
const PIECES = 16;

interface Readback {
  readonly pieceMs?: number;
  readonly fault?: (from: number) => void;
}

function optionsOf({ pieceMs = 10, fault }: Readback = {}): Partial<ToyEngineOptions> {
  const target = new Int32Array(ELEMENTS);
  const readback = { pieceElements: ELEMENTS / PIECES, pieceMs, target, ...fault && { fault } };
  return { factorSize: FACTOR_SIZE, readback };
}

async function start(world: World, engines: Readonly<Record<string, Partial<ToyEngineOptions>>>, job = JOB) {
  const { coordinator } = world;
  coordinator.setJob(job);
  const workers = Object.entries(engines).map(([id, options]) => world.start(id, {}, options));
  await world.until("all have loaded", () => workers.every(isLoaded));
  coordinator.announce({ committed: committedOf(workers[0]!), holders: Object.keys(engines) });
  return workers;
}

/** The digest after three steps of a fleet. */
async function digestWith(engines: Parameters<typeof start>[1], job = JOB): Promise<string | undefined> {
  const world = await createWorld();
  try {
    await start(world, engines, job);
    for (let step = 1; step <= 3; step++) await world.doStep(step);
    assertEquals(world.coordinator.failures, []);
    return world.coordinator.state.committed?.digest;
  } finally {
    await world.close();
  }
}

const atOnce = { factorSize: FACTOR_SIZE };

for (const gradientCodec of ["exact", "int8"] as const) {
  Deno.test(`with ${gradientCodec} sums that come in pieces, at one worker or at all, give the digests of sums at once`, async () => {
    const job = { ...JOB, gradientCodec };
    const ids = ["w-a", "w-b"] as const;
    const digests: unknown[] = [];
    for (
      const [a, b] of [[atOnce, atOnce], [optionsOf(), optionsOf({ pieceMs: 25 })], [atOnce, optionsOf()]]
    ) {
      digests.push(await digestWith({ [ids[0]]: a!, [ids[1]]: b! }, job));
    }
    assertEquals(digests, new Array(3).fill(digests[0]));
    assert(typeof digests[0] === "string");
  });
}

Deno.test("a worker that is alone waits for its last piece", async () => {
  assertEquals(await digestWith({ "w-a": optionsOf() }), await digestWith({ "w-a": atOnce }));
});

inWorld(
  "a readback that fails in the middle of a round blames its worker, and the next attempt is right",
  async (world) => {
    const { coordinator } = world;
    let failures = 0;
    const fault = (from: number) => {
      if (from !== ELEMENTS / 2 || failures > 0) return;
      failures++;
      throw new LoraFleetError("gpu_failure", "the readback stopped");
    };
    await start(world, { "w-a": optionsOf(), "w-b": optionsOf({ fault }) });
    coordinator.begin(1, 1);
    for (const index of [0, 1]) await coordinator.enqueue(index);
    await world.until("both are counted", () => coordinator.countedMicroBatches === 2);
    coordinator.beginRound();
    await world.until("it reports that", () => coordinator.failures.length === 1);
    assertEquals(coordinator.failures.map(({ worker, suspects }) => [worker, suspects]), [["w-b", ["w-b"]]]);
    assertMatch(coordinator.failures[0]!.reason, /the readback stopped/);
    coordinator.announce({ attempt: 1, phase: "waiting" });
    for (let step = 1; step <= 3; step++) await world.doStep(step);
    assertEquals(coordinator.failures.length, 1);
    const calm = await digestWith({ "w-a": atOnce, "w-b": atOnce });
    assertEquals(coordinator.state.committed?.digest, calm);
  },
);

Deno.test("a GPU that is reset in the middle of a round, when results are in the sums' memory already: nobody else notices", async () => {
  const world = await createWorld();
  const { clock, coordinator } = world;
  let resets = 0;
  const fault = (from: number) => {
    if (from !== ELEMENTS * 3 / 4 || resets > 0) return;
    resets++;
    throw new GpuReset("the device was lost");
  };
  const newEngine = () =>
    new ResettingEngine(losingEngine(clock, () => false, optionsOf({ fault })).engine, { clock });
  coordinator.setJob(JOB);
  const workers = [world.start("w-a", { newEngine }), world.start("w-b", {}, atOnce)];
  await world.until("both have loaded", () => workers.every(isLoaded));
  coordinator.announce({ committed: committedOf(workers[0]!), holders: ["w-a", "w-b"] });
  for (let step = 1; step <= 3; step++) await world.doStep(step);
  assertEquals([resets, coordinator.failures], [1, []]);
  assertEquals(coordinator.state.committed?.digest, await digestWith({ "w-a": atOnce, "w-b": atOnce }));
  await world.close();
});

inWorld(
  "members change in the middle of a readback: the old one ends first, the next reads the same sums again",
  async (world) => {
    const { coordinator } = world;
    const pieces: number[] = [];
    const fault = (from: number) => void pieces.push(from);
    const [worker] = await start(world, { "w-a": optionsOf({ pieceMs: 40, fault }) });
    const alone = [...coordinator.members];
    const both = [...alone, { worker: "w-x", incarnation: "i-x" }];
    coordinator.begin(1, 1, { members: both });
    await coordinator.enqueue(0);
    await world.until("it is claimed", () => coordinator.claims.length === 1);
    coordinator.announce({ phase: "reduce", ledger: [0, 1], labelCount: 8 });
    await world.until("a third has come", () => pieces.length === 5);
    coordinator.announce({ phase: "compute", members: alone, generation: 900, ledger: [] });
    await coordinator.enqueue(1);
    await world.until("the other's is claimed", () => coordinator.claims.length === 2);
    coordinator.announce({ phase: "reduce", ledger: [0, 0] });
    await world.until("it has the update", () => coordinator.updates.length === 1);
    assertEquals([worker!.engine.callCounts.readSums, coordinator.failures], [2, []]);
    const inOrder = Array.from({ length: PIECES }, (_, index) => index * ELEMENTS / PIECES);
    assertEquals(pieces, [...inOrder, ...inOrder]);

    const other = await createWorld();
    await start(other, { "w-a": atOnce });
    await other.doStep(1);
    assertEquals(coordinator.updates[0]!.digest, other.coordinator.updates[0]!.digest);
    await other.close();
  },
);
