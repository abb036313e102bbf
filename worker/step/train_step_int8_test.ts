import { assertEquals, assertLess } from "@std/assert";
import { committedOf, createWorld, isLoaded, type World } from "../testing/agent_fixture.ts";
import { JOB } from "../testing/test_job.ts";
import type { GradientCodec } from "../allreduce/codec/codecs.ts";
import { predictedBytes } from "../allreduce/all_reduce_fixture.ts";
import { toyLayout } from "../testing/toy_model.ts";

const STEPS = 4;
const IDS = ["w-a", "w-b"];

/** Two workers do some steps; their digests are compared at each of them. Payload bytes that both have sent. */
async function trainWith(world: World, gradientCodec: GradientCodec): Promise<number> {
  const { coordinator } = world;
  coordinator.setJob({ ...JOB, gradientCodec });
  const workers = IDS.map((id) => world.start(id));
  await world.until("both have loaded", () => workers.every(isLoaded));
  coordinator.announce({ committed: committedOf(workers[0]!), holders: IDS });
  for (let step = 1; step <= STEPS; step++) await world.doStep(step);
  await world.until("both have committed", () => workers.every((w) => committedOf(w)?.step === STEPS));
  assertEquals(coordinator.failures, []);
  await world.clock.advance(500);
  return workers.reduce((sum, { heartbeat }) => sum + heartbeat!.gradientBytesSent, 0);
}

Deno.test("with int8 two workers agree on the digest of every step, and send a quarter of the bytes", async () => {
  const sent: number[] = [];
  for (const codec of ["exact", "int8"] as const) {
    const world = await createWorld();
    try {
      sent.push(await trainWith(world, codec));
    } finally {
      await world.close();
    }
  }
  const [exact, int8] = sent;
  assertEquals(exact, STEPS * predictedBytes(toyLayout().elementCount, IDS.length));
  assertLess(int8!, 0.27 * exact!);
});
