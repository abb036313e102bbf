import { assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { parseJobRequest } from "./parse.ts";

const parse = (training: object) =>
  parseJobRequest({ model: "org/llama", training_file: "file-1", training });
const refusal = (training: object) => {
  const { param, message } = assertThrows(() => parse(training), LoraFleetError);
  return [param, message];
};
const AT = "training.lr_scheduler_kwargs";

Deno.test("a schedule is accepted with its arguments; null and empty ones leave no trace", () => {
  const argumentsOf = (training: object) => parse(training).spec.training.lr_scheduler_kwargs;
  assertEquals(
    argumentsOf({ lr_scheduler_type: "cosine_with_restarts", lr_scheduler_kwargs: { num_cycles: 3 } }),
    {
      num_cycles: 3,
    },
  );
  assertEquals(
    argumentsOf({ lr_scheduler_type: "polynomial", lr_scheduler_kwargs: { power: 2, lr_end: null } }),
    {
      power: 2,
    },
  );
  assertEquals(Object.hasOwn(parse({ lr_scheduler_kwargs: {} }).spec.training, "lr_scheduler_kwargs"), false);
  assertEquals(
    Object.hasOwn(parse({ lr_scheduler_kwargs: { power: null } }).spec.training, "lr_scheduler_kwargs"),
    false,
  );
  assertEquals(
    parse({ lr_scheduler_type: "SchedulerType.INVERSE_SQRT" }).spec.training.lr_scheduler_type,
    "inverse_sqrt",
  );
});

Deno.test("an argument that a schedule lacks, needs, or gets twice is named", () => {
  assertEquals(refusal({ lr_scheduler_type: "linear", lr_scheduler_kwargs: { num_cycles: 2 } }), [
    `${AT}.num_cycles`,
    `${AT}.num_cycles is 2, but the schedule "linear" takes no arguments; leave it out`,
  ]);
  assertEquals(refusal({ lr_scheduler_type: "polynomial", lr_scheduler_kwargs: { num_cycles: 2 } }), [
    `${AT}.num_cycles`,
    `${AT}.num_cycles is 2, but the schedule "polynomial" takes lr_end, power; leave it out`,
  ]);
  assertEquals(refusal({ lr_scheduler_type: "cosine_with_min_lr" }), [
    AT,
    `training.lr_scheduler_type is "cosine_with_min_lr", which needs ${AT}: {"min_lr": …} or {"min_lr_rate": …}`,
  ]);
  assertEquals(
    refusal({
      lr_scheduler_type: "cosine_with_min_lr",
      lr_scheduler_kwargs: { min_lr: 1e-6, min_lr_rate: 0.1 },
    }),
    [`${AT}.min_lr_rate`, `${AT}.min_lr_rate is 0.1 besides min_lr (0.000001); give one of them`],
  );
  assertEquals(refusal({ lr_scheduler_type: "warmup_stable_decay" })[0], AT);
});

Deno.test("rates that do not fit are refused with what would", () => {
  assertEquals(
    refusal({
      learning_rate: 1e-4,
      lr_scheduler_type: "cosine_with_min_lr",
      lr_scheduler_kwargs: { min_lr: 1e-3 },
    }),
    [
      `${AT}.min_lr`,
      `${AT}.min_lr is 0.001, above training.learning_rate (0.0001), which is the highest of the schedule`,
    ],
  );
  assertEquals(refusal({ learning_rate: 1e-8, lr_scheduler_type: "polynomial" }), [
    `${AT}.lr_end`,
    `${AT}.lr_end is 1e-7 if left out; a number below training.learning_rate (1e-8) is needed`,
  ]);
  assertEquals(
    refusal({ lr_scheduler_type: "cosine_with_restarts", lr_scheduler_kwargs: { num_cycles: "3" } }),
    [`${AT}.num_cycles`, `${AT}.num_cycles is "3"; a number is needed, without quotes: 3`],
  );
  assertEquals(refusal({ lr_scheduler_kwargs: { num_cycle: 3 } }), [
    `${AT}.num_cycle`,
    `unknown field "${AT}.num_cycle"; did you mean "${AT}.num_cycles"?`,
  ]);
});

Deno.test("a schedule that waits for losses is refused with the schedules that come near", () => {
  for (const lr_scheduler_type of ["reduce_lr_on_plateau", "SchedulerType.REDUCE_ON_PLATEAU", "greedy"]) {
    const [param, message] = refusal({ lr_scheduler_type });
    assertEquals(param, "training.lr_scheduler_type");
    assertEquals(message!.includes("which lets losses decide on the rate"), true, message!);
    assertEquals(message!.endsWith('set it to "cosine_with_min_lr" or "warmup_stable_decay"'), true);
  }
});
