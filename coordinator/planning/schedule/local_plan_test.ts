import { assert, assertEquals, assertLessOrEqual, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { fleetSchema, type LocalStepsSpec, trainingSchema } from "../../../shared/job/job_spec_schema.ts";
import { learningRateAt } from "./schedule.ts";
import {
  describeLocal,
  firstNumberOf,
  type LocalPlan,
  localPlanOf,
  localReportOf,
  localWarnings,
  outerCheckpointSteps,
  placeOfNumber,
} from "./local_plan.ts";
import { checkpointSteps } from "./shard_plan.ts";

const training = trainingSchema.parse({ gradient_accumulation_steps: 4, warmup_ratio: 0.1 });
const localSteps = (inner_steps: number, replicas: number) => ({
  ...{ inner_steps, replicas, outer_learning_rate: 0.7, outer_momentum: 0.9 },
});
const planOf = (inner: number, replicas: number, totalDataSteps: number) =>
  localPlanOf(
    { training, fleet: { local_steps: localSteps(inner, replicas) } },
    totalDataSteps,
    (dataStep) => dataStep % 5 === 0 ? 1 : 4,
  )!;

Deno.test("two replicas of three steps: data steps are dealt like cards, the last outer step has the rest", () => {
  const plan = planOf(3, 2, 9);
  assertEquals([plan.totalSteps, plan.totalDataSteps], [2, 9]);
  const dealt = [1, 2].map((step) =>
    plan.innerLoopsOf(step).map(({ innerSteps }) =>
      innerSteps.map(({ number, microBatchCount }) => [number / 4 + 1, microBatchCount])
    )
  );
  assertEquals(dealt[0], [[[1, 4], [3, 4], [5, 1]], [[2, 4], [4, 4], [6, 4]]]);
  assertEquals(dealt[1], [[[7, 4], [9, 4]], [[8, 4]]]);
  assertEquals(localReportOf(plan, 2), { innerSteps: 2, dataStep: 9, totalDataSteps: 9 });
});

Deno.test("fewer data steps than replicas: fewer inner loops", () => {
  assertEquals(planOf(25, 4, 2).innerLoopsOf(1).map(({ innerSteps }) => innerSteps.length), [1, 1]);
  assertEquals(planOf(25, 4, 102).innerLoopsOf(2).map(({ innerSteps }) => innerSteps.length), [1, 1]);
});

const sizes = fc.tuple(
  fc.integer({ min: 1, max: 9 }),
  fc.integer({ min: 1, max: 7 }),
  fc.integer({ min: 1, max: 200 }),
);

Deno.test("every data step is done once for any sizes, and inner loops differ by at most one inner step", () => {
  fc.assert(
    fc.property(sizes, ([inner, replicas, total]) => {
      const plan = planOf(inner, replicas, total);
      const done: number[] = [];
      for (let step = 1; step <= plan.totalSteps; step++) {
        const innerLoops = plan.innerLoopsOf(step);
        const lengths = innerLoops.map(({ innerSteps }) => innerSteps.length);
        assertLessOrEqual(innerLoops.length, replicas);
        assertLessOrEqual(Math.max(...lengths), inner);
        assertLessOrEqual(Math.max(...lengths) - Math.min(...lengths), 1);
        const ofStep = innerLoops.flatMap(({ innerSteps }) => innerSteps.map(({ number }) => number / 4 + 1));
        const { first, last } = plan.dataStepsOf(step);
        assertEquals(
          ofStep.toSorted((a, b) => a - b),
          Array.from({ length: last - first + 1 }, (_, i) => first + i),
        );
        assert(ofStep.every((dataStep) => plan.stepOf(dataStep) === step));
        done.push(...ofStep);
      }
      assertEquals(done.length, total);
      assertEquals(new Set(done).size, total);
    }),
    { seed: 1 },
  );
});

Deno.test("the schedule counts inner steps from first to last, the same for all replicas", () => {
  fc.assert(
    fc.property(sizes, ([inner, replicas, total]) => {
      const plan = planOf(inner, replicas, total);
      const rates: number[] = [];
      for (let step = 1; step <= plan.totalSteps; step++) {
        const innerLoops = plan.innerLoopsOf(step).map(({ innerSteps }) =>
          innerSteps.map(({ learningRate }) => learningRate)
        );
        for (const innerLoop of innerLoops) {
          assertEquals(innerLoop, innerLoops[0]!.slice(0, innerLoop.length));
        }
        rates.push(...innerLoops[0]!);
        assertEquals(plan.learningRateOf(step), rates.at(-1));
      }
      const expected = rates.map((_, index) => learningRateAt(index + 1, rates.length, training));
      assertEquals(rates, expected);
    }),
    { seed: 2 },
  );
});

Deno.test("a step's largest move is the sum over its own inner steps", () => {
  const plan = planOf(1, 2, 40);
  for (const step of [1, 2, 20]) assertEquals(plan.updateBoundOf(step), plan.learningRateOf(step));
});

Deno.test("a checkpoint due after a data step is due after the outer step of that data step", () => {
  const plan = planOf(3, 2, 20);
  const due = (plan: LocalPlan, every: number) => {
    const training = { save_strategy: every === 0 ? "no" : "steps", save_steps: every } as const;
    const ofDataSteps = checkpointSteps({ totalSteps: plan.totalDataSteps, stepsPerEpoch: 1 }, training);
    const ofSteps = outerCheckpointSteps(ofDataSteps, plan);
    return Array.from({ length: plan.totalSteps + 2 }, (_, step) => step).filter((step) =>
      ofSteps.includes(step)
    );
  };
  // Six data steps a step.
  assertEquals([due(plan, 1), due(plan, 7), due(plan, 14), due(plan, 0)], [[1, 2, 3, 4], [2, 3, 4], [3, 4], [
    4,
  ]]);
  assertEquals(due(planOf(50, 4, 4), 2), [1]);
});

Deno.test("a micro-batch's number determines its data step and its place", () => {
  for (const [dataStep, index] of [[1, 0], [1, 3], [2, 0], [7, 2]] as const) {
    assertEquals(placeOfNumber(firstNumberOf(dataStep, training) + index, training), { dataStep, index });
  }
});

Deno.test("events explain what a step is, and warn of a momentum that the job is too short for", () => {
  const linesOf = (total: number, change: Partial<LocalStepsSpec> = {}) => {
    const local_steps = { ...localSteps(3, 2), ...change };
    const fleet = fleetSchema.parse({ local_steps });
    const plan = planOf(3, 2, total);
    return [describeLocal(plan, { fleet, training }), ...localWarnings(plan, { fleet })];
  };
  const sentence =
    "Local steps: 60 data steps of up to 4 micro-batches make 10 outer steps of up to 2 replicas with up to 3 " +
    "inner steps each.";
  assertEquals(linesOf(60), [sentence]);
  const [, warning] = linesOf(54);
  assertStringIncludes(
    warning!,
    "outer_momentum is 0.9, which needs about 10 outer steps to come to rest, and the job has 9",
  );
  assertEquals(linesOf(54, { outer_momentum: 0 }).length, 1);
  assertEquals(linesOf(12, { outer_momentum: 0.5 }).length, 1);
});
