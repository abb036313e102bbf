import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { z } from "zod";
import { readGolden } from "../../../tests/golden/data_goldens.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { jobSpecSchema } from "../../../shared/job/job_spec_schema.ts";
import { learningRateAt, type ScheduleSpec, warmupSteps } from "./schedule.ts";

const kinds = z.enum(["cosine", "linear", "constant", "constant_with_warmup"]);
const golden = await readGolden(
  "data/schedule.json",
  z.array(z.object({
    kind: kinds,
    total: z.number(),
    warmup: z.number(),
    warmup_count: z.number(),
    rates: z.array(z.number()),
  })),
);

function specOf(training: Partial<ScheduleSpec>): ScheduleSpec {
  return jobSpecSchema.parse({ model: "m", training_file: "f", training }).training;
}

Deno.test("every rate of every schedule is that of transformers", () => {
  for (const { kind, total, warmup, warmup_count, rates } of golden) {
    const written = warmup > 1 ? { warmup_steps: warmup } : { warmup_ratio: warmup };
    const spec = specOf({ learning_rate: 2e-4, lr_scheduler_type: kind, ...written });
    assertEquals(warmupSteps(total, spec), warmup_count);
    rates.forEach((rate, done) => {
      // Two libraries' cosines may differ in their last bit.
      assertAlmostEquals(
        learningRateAt(done + 1, total, spec),
        rate,
        4 * Number.EPSILON * 2e-4,
        `${kind} ${total} ${done}`,
      );
    });
  }
});

Deno.test("with a warm-up the first step has rate 0", () => {
  assertEquals(learningRateAt(1, 100, specOf({})), 0);
  assertEquals(learningRateAt(4, 100, specOf({ learning_rate: 1 })), 1);
  assertEquals(learningRateAt(1, 100, specOf({ learning_rate: 1, warmup_ratio: 0 })), 1);
});

Deno.test("warmup_steps overrides warmup_ratio; below 1 it is a share", () => {
  assertEquals(warmupSteps(100, specOf({ warmup_ratio: 0.5, warmup_steps: 7 })), 7);
  assertEquals(warmupSteps(100, specOf({ warmup_ratio: 0.5, warmup_steps: 0.101 })), 11);
});

Deno.test("steps outside of the job have no rate", () => {
  for (const step of [0, 11, 1.5, NaN]) {
    assertThrows(() => learningRateAt(step, 10, specOf({})), LoraFleetError, "steps go from 1 to 10");
  }
});
