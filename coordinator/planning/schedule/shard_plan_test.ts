import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { z } from "zod";
import { LoraFleetError } from "../../../shared/errors.ts";
import { readGolden } from "../../../tests/golden/data_goldens.ts";
import { checkpointSteps, planShards, type ShardPlanOptions } from "./shard_plan.ts";

const OPTIONS: ShardPlanOptions = {
  rowCount: 10,
  epochs: 2,
  rowsPerMicroBatch: 2,
  microBatchesPerStep: 2,
  seed: 42,
  maxSteps: -1,
  shuffle: false,
};

Deno.test("ten rows, two a micro-batch, two micro-batches a step: the last step of an epoch is ragged", () => {
  const plan = planShards(OPTIONS);
  assertEquals([plan.microBatchesPerEpoch, plan.stepsPerEpoch, plan.totalSteps], [5, 3, 6]);
  const expected = [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9]]];
  assertEquals([1, 2, 3, 4, 5, 6].map((step) => plan.microBatchesOf(step)), [...expected, ...expected]);
  assertEquals([1, 2, 3, 4, 5, 6].map((step) => plan.epochOf(step)), [0, 0, 0, 1, 1, 1]);
  assertEquals([1, 2, 3, 4].map((step) => plan.epochsAfter(step)), [0.4, 0.8, 1, 1.4]);
});

const trainerRuns = await readGolden(
  "data/steps.json",
  z.array(z.object({
    rows: z.number(),
    per_batch: z.number(),
    accumulation: z.number(),
    epochs: z.number(),
    max_steps: z.number(),
    save_strategy: z.enum(["no", "epoch", "steps"]),
    save_steps: z.number(),
    steps: z.array(z.array(z.array(z.number()))),
    epochs_after: z.array(z.number()),
    saves: z.array(z.number()),
  })),
);

Deno.test("steps, epochs and checkpoints are those of transformers' Trainer", () => {
  for (const run of trainerRuns) {
    const plan = planShards({
      ...OPTIONS,
      rowCount: run.rows,
      epochs: run.epochs,
      rowsPerMicroBatch: run.per_batch,
      microBatchesPerStep: run.accumulation,
      maxSteps: run.max_steps,
    });
    const steps = run.steps.map((_, i) => i + 1);
    assertEquals(plan.totalSteps, run.steps.length);
    assertEquals(steps.map((step) => plan.microBatchesOf(step)), run.steps);
    assertEquals(steps.map((step) => plan.epochsAfter(step)), run.epochs_after);
    // With save_strategy "no" the Trainer leaves saving to its caller; a job always has a last checkpoint.
    const due = checkpointSteps(plan, run);
    const listed = Array.from({ length: plan.totalSteps }, (_, i) => i + 1).filter((step) =>
      due.includes(step)
    );
    assertEquals(listed, run.save_strategy === "no" ? [plan.totalSteps] : run.saves);
  }
});

Deno.test("a ragged last micro-batch, and fewer rows than one micro-batch", () => {
  assertEquals(planShards({ ...OPTIONS, rowCount: 5 }).microBatchesOf(2), [[4]]);
  const tiny = planShards({ ...OPTIONS, rowCount: 1, epochs: 1 });
  assertEquals([tiny.totalSteps, tiny.microBatchesOf(1)], [1, [[0]]]);
});

Deno.test("fractions of epochs round up to whole steps; max_steps overrides them", () => {
  assertEquals(planShards({ ...OPTIONS, epochs: 0.1 }).totalSteps, 1);
  assertEquals(planShards({ ...OPTIONS, epochs: 1.5 }).totalSteps, 5);
  const plan = planShards({ ...OPTIONS, maxSteps: 7 });
  assertEquals([plan.totalSteps, plan.epochOf(7), plan.microBatchesOf(7)], [7, 2, [[0, 1], [2, 3]]]);
  assertEquals(planShards({ ...OPTIONS, maxSteps: 0 }).totalSteps, 6);
});

const plans = fc.record({
  rowCount: fc.integer({ min: 1, max: 40 }),
  rowsPerMicroBatch: fc.integer({ min: 1, max: 5 }),
  microBatchesPerStep: fc.integer({ min: 1, max: 5 }),
  seed: fc.nat(2 ** 31 - 1),
});

Deno.test("each row is in exactly one micro-batch of each epoch", () => {
  fc.assert(fc.property(plans, (random) => {
    const plan = planShards({ ...OPTIONS, ...random, epochs: 3, shuffle: true });
    assertEquals(plan.totalSteps, 3 * plan.stepsPerEpoch);
    for (let epoch = 0; epoch < 3; epoch++) {
      const rows = Array.from(
        { length: plan.stepsPerEpoch },
        (_, i) => plan.microBatchesOf(epoch * plan.stepsPerEpoch + i + 1),
      );
      assertEquals(
        rows.flat(2).sort((a, b) => a - b),
        Array.from({ length: random.rowCount }, (_, row) => row),
      );
      assertEquals(plan.epochsAfter((epoch + 1) * plan.stepsPerEpoch), epoch + 1);
    }
  }));
});

Deno.test("the order depends on seed and epoch alone, not on earlier calls", () => {
  const many = { ...OPTIONS, rowCount: 100, shuffle: true };
  const plan = planShards(many);
  const late = plan.microBatchesOf(30);
  plan.microBatchesOf(1);
  assertEquals(plan.microBatchesOf(30), late);
  assertEquals(planShards(many).microBatchesOf(30), late);
  assertNotEquals(planShards({ ...many, seed: 43 }).microBatchesOf(30), late);
  assertNotEquals(plan.microBatchesOf(1), plan.microBatchesOf(1 + plan.stepsPerEpoch));
  // Pinned: a resumed job of an older build must find its data in the same order.
  assertEquals(plan.microBatchesOf(1), [[56, 32], [19, 34]]);
});

Deno.test("every row is in every place about equally often", () => {
  const counts = new Uint32Array(4);
  for (let seed = 0; seed < 4000; seed++) {
    const [[first]] = planShards({ ...OPTIONS, rowCount: 4, seed, shuffle: true }).microBatchesOf(1) as [
      [number],
    ];
    counts[first]!++;
  }
  // Four cells of 1000: the standard deviation is 27, five of them are 137.
  for (const count of counts) assertEquals(Math.abs(count - 1000) < 137, true, `counts ${counts}`);
});

Deno.test("steps outside of the plan and invalid plans are refused", () => {
  const plan = planShards(OPTIONS);
  for (const step of [0, 7, 1.5, NaN]) {
    assertThrows(() => plan.microBatchesOf(step), LoraFleetError, "steps go from 1 to 6");
    assertThrows(() => plan.epochsAfter(step), LoraFleetError, "steps go from 1 to 6");
  }
  assertThrows(() => planShards({ ...OPTIONS, rowCount: 0 }), LoraFleetError, "rowCount is 0");
  assertThrows(() => planShards({ ...OPTIONS, epochs: Infinity }), LoraFleetError, "Infinity");
});

Deno.test("checkpoints follow save_strategy; the last step always has one", () => {
  const plan = { totalSteps: 10, stepsPerEpoch: 4 };
  const steps = (save_strategy: "no" | "epoch" | "steps", save_steps = 500) => {
    const due = checkpointSteps(plan, { save_strategy, save_steps });
    const listed = Array.from({ length: 13 }, (_, step) => step).filter((step) => due.includes(step));
    for (let first = 1; first <= 10; first++) {
      for (let last = first; last <= 10; last++) {
        assertEquals(due.includesAny(first, last), listed.some((step) => step >= first && step <= last));
      }
    }
    return listed;
  };
  assertEquals(steps("no"), [10]);
  assertEquals(steps("epoch"), [4, 8, 10]);
  assertEquals(steps("steps"), [10]);
  assertEquals(steps("steps", 3), [3, 6, 9, 10]);
  assertEquals(steps("steps", 5), [5, 10]);
  assertEquals(steps("steps", 0.25), [3, 6, 9, 10]);
  assertEquals(steps("steps", 0), [10]);
});

Deno.test("a plan of any length takes constant time", () => {
  const plan = planShards({ ...OPTIONS, rowCount: 243, epochs: 1e12, shuffle: true });
  assertEquals(plan.totalSteps, 61e12);
  const due = checkpointSteps(plan, { save_strategy: "steps", save_steps: 1 });
  assertEquals([due.includes(59e12), due.includes(61e12 + 1)], [true, false]);
  assertEquals(plan.microBatchesOf(60e12), plan.microBatchesOf(60e12));
  assertEquals([plan.rowsDoneAfter(60e12), plan.epochsAfter(61e12)], [rowsDone(plan, 60e12), 1e12]);
});

/** Counted from the micro-batches of the step's epoch. */
function rowsDone(plan: ReturnType<typeof planShards>, step: number): number {
  const first = plan.epochOf(step) * plan.stepsPerEpoch + 1;
  let rows = 0;
  for (let at = first; at <= step; at++) rows += plan.microBatchesOf(at).flat().length;
  return rows;
}
