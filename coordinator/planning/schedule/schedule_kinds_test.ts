import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { z } from "zod";
import { readGolden } from "../../../tests/golden/data_goldens.ts";
import { scheduleArgumentsSchema, trainingSchema } from "../../../shared/job/job_spec_schema.ts";
import { learningRateAt } from "./schedule.ts";
import { SCHEDULE_KINDS } from "./schedule_kinds.ts";

const kinds = trainingSchema.shape.lr_scheduler_type.unwrap();
const golden = await readGolden(
  "schedules.json",
  z.object({
    learning_rate: z.number(),
    cases: z.array(z.object({
      kind: kinds,
      arguments: scheduleArgumentsSchema,
      total: z.number(),
      warmup: z.number(),
      rates: z.array(z.number()),
    })),
  }),
);

Deno.test("every rate of every schedule with arguments is that of transformers' get_scheduler", () => {
  for (const { kind, arguments: lr_scheduler_kwargs, total, warmup, rates } of golden.cases) {
    const { learning_rate } = golden;
    const written = { warmup_steps: warmup, warmup_ratio: 0, lr_scheduler_kwargs };
    const spec = trainingSchema.parse({ learning_rate, lr_scheduler_type: kind, ...written });
    assertEquals(rates.length, total);
    rates.forEach((rate, done) => {
      const found = learningRateAt(done + 1, total, spec);
      const at = `${kind} ${JSON.stringify(lr_scheduler_kwargs)} ${total} ${warmup} ${done}`;
      // Two libraries' cosines and powers may differ in their last bits.
      assertAlmostEquals(found, rate, 8 * Number.EPSILON * learning_rate, at);
    });
  }
});

Deno.test("the goldens use every argument that a schedule takes", () => {
  for (const [kind, { takes }] of Object.entries(SCHEDULE_KINDS)) {
    const used = golden.cases.filter((entry) => entry.kind === kind).map((entry) => entry.arguments);
    for (const name of takes) assert(used.some((args) => args[name] !== undefined), `${kind}.${name}`);
  }
});
