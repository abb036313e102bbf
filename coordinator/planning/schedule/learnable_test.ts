import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { jobSpecSchema } from "../../../shared/job/job_spec_schema.ts";
import { checkLearnable, learnabilityOf } from "./learnable.ts";

const specOf = (training: object = {}, rest: object = {}) =>
  jobSpecSchema.parse({ model: "m", training_file: "f", training, ...rest });
const SHORT = { exampleCount: 200, rowCount: 4 };

Deno.test("200 short rows that pack into one step are refused with the numbers and what to change", () => {
  const spec = specOf({ num_train_epochs: 1 });
  const error = assertThrows(() => checkLearnable(spec, 1, SHORT), LoraFleetError);
  assertEquals([error.code, error.param], ["invalid_request", "training.warmup_ratio"]);
  for (
    const part of [
      "1 update of the adapter",
      "200 rows of the file pack into 4 of up to 1024 tokens",
      "a step takes 8 micro-batches",
      "the warm-up takes 1 update and begins at 0",
      "raise training.num_train_epochs (1)",
      "lower training.gradient_accumulation_steps (8)",
      "set dataset.packing to false",
      "training.warmup_ratio is 0.03",
    ]
  ) assertStringIncludes(error.message, part);
});

Deno.test("one step with a rate above 0 is allowed, with a warning", () => {
  for (
    const training of [{ lr_scheduler_type: "constant" }, { warmup_ratio: 0 }, {
      warmup_ratio: 0,
      lr_scheduler_type: "linear",
    }]
  ) {
    const [warning, ...others] = checkLearnable(specOf(training), 1, SHORT);
    assertEquals(others, []);
    assertStringIncludes(warning!, "only 1 update");
  }
});

Deno.test("few updates and long warm-ups get a warning, others do not", () => {
  const warnings = (steps: number, training: object) =>
    learnabilityOf(specOf(training), steps, SHORT).warnings;
  assertEquals(warnings(10, {}), []);
  assertStringIncludes(warnings(9, {})[0]!, "only 9 updates of the adapter (200 rows");
  assertEquals(warnings(100, { warmup_steps: 50 }), []);
  assertStringIncludes(warnings(100, { warmup_steps: 51 })[0]!, "51 of the job's 100 updates are warm-up");
  assertStringIncludes(warnings(100, { warmup_steps: 200 })[0]!, "All of the job's updates are warm-up");
  assertEquals(warnings(100, { warmup_steps: 200, lr_scheduler_type: "constant" }), []);
});

Deno.test("with local steps a replica's own updates count", () => {
  const fleet = { local_steps: { inner_steps: 4, replicas: 4 } };
  const spec = specOf({}, { fleet });
  // Four replicas with one update each, all at the same place of the schedule.
  assert(learnabilityOf(spec, 4, SHORT).refusal !== null);
  assertEquals(learnabilityOf(spec, 5, SHORT).refusal, null);
  assertStringIncludes(learnabilityOf(spec, 16, SHORT).warnings[0]!, "only 4 updates");
  assertStringIncludes(learnabilityOf(spec, 16, SHORT).warnings[0]!, "fleet.local_steps.replicas (4)");
});

Deno.test("a job of too many steps is refused with the field at fault", () => {
  const error = assertThrows(
    () =>
      checkLearnable(specOf({ num_train_epochs: 10_000 }), 1_250_000, { exampleCount: 1000, rowCount: 1000 }),
    LoraFleetError,
    "makes 1250000 steps of 1000 rows; a job may have at most 1000000",
  );
  assertEquals(error.param, "training.num_train_epochs");
});

Deno.test("a decay longer than what follows the warm-up gets a warning", () => {
  const warnings = (steps: number, kwargs: object) =>
    learnabilityOf(
      specOf({
        lr_scheduler_type: "warmup_stable_decay",
        warmup_steps: 10,
        lr_scheduler_kwargs: { num_decay_steps: 30, ...kwargs },
      }),
      steps,
      SHORT,
    ).warnings;
  assertEquals(warnings(40, {}), []);
  assertEquals(warnings(39, { num_stable_steps: 3 }), []);
  assertEquals(warnings(39, {}), [
    "training.lr_scheduler_kwargs.num_decay_steps is 30, but after the warm-up there are 29 updates: the decay begins " +
    "part of the way down, as in transformers.",
  ]);
});
