import { assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { pcg32 } from "../../../shared/prng.ts";
import { withWorld } from "../../testing/app_fixture.ts";
import { fakePrepare } from "../../testing/fake_preparer.ts";
import { NO_LOSSES, storedLosses, suspectSteps, watchLoss } from "./divergence.ts";
import { submit } from "../job_service_fixture.ts";

const range = (count: number) => Array.from({ length: count }, (_, index) => index);

/** The step at which it is stopped, with the reason; null: never. */
function stoppedAt(losses: readonly number[]): [number, string] | null {
  let watch = NO_LOSSES;
  for (const [index, loss] of losses.entries()) {
    const { watch: next, reason } = watchLoss(watch, index + 1, loss);
    if (reason !== null) return [index + 1, reason];
    watch = next;
  }
  return null;
}

Deno.test("twenty steps in a row that are far worse than the first twenty are a divergence", () => {
  const stopped = stoppedAt([...range(50).map(() => 2.5), ...range(50).map(() => 9.3)]);
  assertEquals(stopped, [
    70,
    "the training diverges: the mean loss of steps 51 to 70 is 9.30, that of the first 20 steps was 2.50",
  ]);
});

Deno.test("a rate that spoils the first steps already is a divergence; one peak among them is none", () => {
  // The demo with 10 and with 100 times its rate, rounded (docs/benchmarks/watchdogs.txt).
  const tenfold = [
    0.46,
    0.47,
    0.7,
    2.3,
    7.3,
    10.6,
    5.7,
    4.5,
    5.8,
    4.3,
    4,
    3.9,
    3.8,
    3.6,
    3.6,
    3.5,
    3.4,
    3.4,
    3.5,
    3.7,
  ];
  const hundredfold = [0.46, 0.47, 6.7, 10.2, 8.7, 7.4, 5.4, ...range(13).map(() => 4)];
  for (const first of [tenfold, hundredfold]) {
    const [step, reason] = stoppedAt([...first, ...range(60).map(() => 3.2)])!;
    assertEquals(step, 40);
    assertMatch(reason, /steps 21 to 40 is 3\.20, it was 0\.46 when the training began$/);
    const watch = [...first, ...range(20).map(() => 3.2)]
      .reduce((watch, loss, index) => watchLoss(watch, index + 1, loss).watch, NO_LOSSES);
    assertEquals(40 - suspectSteps(watch), 1, "the step before the rise");
  }
  const onePeak = range(20).map((step) => step === 6 ? 9 : 2.5);
  assertEquals(stoppedAt([...onePeak, ...range(300).map((index) => 4 + index % 2 / 2)]), null);
});

Deno.test("steps that lead to a divergence are suspect, and none are without one", () => {
  const watchOf = (losses: readonly number[]) =>
    losses.reduce((watch, loss, index) => watchLoss(watch, index + 1, loss).watch, NO_LOSSES);
  const start = range(20).map(() => 2.5);
  const after = (losses: readonly number[]) => suspectSteps(watchOf([...start, ...losses]));
  assertEquals([after([]), after([1, 2, 3]), after([1, 1, 9]), after([1, 2.6, 3, 4, 9, 9])], [0, 0, 1, 5]);
  assertEquals(after([...range(30).map(() => 4), ...range(20).map(() => 9)]), 40);
  assertEquals(suspectSteps(NO_LOSSES), 0);
});

Deno.test("peaks, noise, a slow rise, a loss near 0 that doubles and a bad beginning are none", () => {
  assertEquals(
    stoppedAt([...range(50).map(() => 2.5), ...range(190).map((i) => i % 20 === 19 ? 2.5 : 12)]),
    null,
  );
  const random = pcg32(7);
  assertEquals(stoppedAt(range(5000).map(() => 2 + 2 * random.uniform())), null);
  assertEquals(stoppedAt(range(400).map((index) => 2.5 + index / 250)), null);
  assertEquals(stoppedAt([...range(30).map(() => 0.05), ...range(300).map(() => 0.9)]), null);
  assertEquals(stoppedAt(range(300).map(() => 11)), null);
});

Deno.test("a job that diverges is stopped with the reason and what to do; its checkpoints stay", async () => {
  const prepare: typeof fakePrepare = async (request) => ({
    ...await fakePrepare(request),
    totalSteps: 100,
    checkpointSteps: [10, 100],
  });
  await withWorld({ prepare }, async (world) => {
    world.fleet.lossOf = (step) => step <= 30 ? 1.5 : 8;
    const { id } = await submit(world, "a", { training: { learning_rate: 0.5 } });
    const job = await world.finished(id);
    assertEquals([job.status, job.step, job.error?.param], ["failed", 50, "training.learning_rate"]);
    assertMatch(
      job.error!.message,
      /^the training diverges: .* steps 31 to 50 is 8\.00, .* was 1\.50; lower training\.learning_rate, which is 0\.5/,
    );
    assertEquals(world.store.checkpoints(id, { after: null, limit: 9 }).items.map(({ step }) => step), [10]);
    const { first } = storedLosses(world.store, id, 50);
    assertEquals(first.length, 20);
    assertAlmostEquals(first[0]!, 1.5);
    assertEquals(storedLosses(world.store, id, 5).first.length, 5);
  });
});

Deno.test("rows in the order of the file may become harder: nothing is stopped then", async () => {
  const prepare: typeof fakePrepare = async (request) => ({
    ...await fakePrepare(request),
    totalSteps: 60,
    checkpointSteps: [60],
  });
  await withWorld({ prepare }, async (world) => {
    world.fleet.lossOf = (step) => step <= 20 ? 0.5 : 8;
    const { id } = await submit(world, "a", { dataset: { shuffle: false } });
    assertEquals((await world.finished(id)).status, "succeeded");
  });
});
