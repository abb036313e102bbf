import { assertEquals } from "@std/assert";
import { trainingSchema } from "../../../shared/job/job_spec_schema.ts";
import { busyWorkers, idleWarning } from "./busy_workers.ts";

const specOf = (count: number, rows: number, replicas: number | null = null) => ({
  training: trainingSchema.parse({ gradient_accumulation_steps: count, per_device_train_batch_size: rows }),
  fleet: {
    local_steps: replicas === null
      ? null
      : { inner_steps: 5, replicas, outer_learning_rate: 0.7, outer_momentum: 0.9 },
  },
});

Deno.test("the best value keeps the batch and the largest share of the workers busy, with no larger micro-batches", () => {
  const bestOf = (count: number, rows: number, workers: number) => {
    const { busy_share, best, best_share } = busyWorkers(specOf(count, rows), workers);
    return [busy_share, ...Object.values(best), best_share];
  };
  assertEquals(bestOf(2, 4, 4), [0.5, 4, 2, 1]);
  assertEquals(bestOf(8, 1, 5), [0.8, 8, 1, 0.8]);
  assertEquals(bestOf(2, 4, 5), [0.4, 4, 2, 0.8]);
  assertEquals(bestOf(4, 3, 3), [4 / 6, 6, 2, 1]);
  assertEquals(bestOf(8, 2, 4), [1, 8, 2, 1]);
  assertEquals(bestOf(1, 1, 3), [1 / 3, 1, 1, 1 / 3]);
});

Deno.test("with local steps it is the number of replicas", () => {
  assertEquals(busyWorkers(specOf(8, 1, 2), 3), {
    ...{ workers: 3, items_per_step: 2, busy_share: 2 / 3 },
    ...{ best: { "fleet.local_steps.replicas": 3 }, best_share: 1 },
  });
});

Deno.test("workers without anything to do are told, with the numbers and what to set", () => {
  assertEquals(idleWarning(specOf(8, 1), 8), null);
  assertEquals(idleWarning(specOf(8, 1), 5), null);
  assertEquals(
    idleWarning(specOf(2, 4), 4),
    "A step has training.gradient_accumulation_steps 2, that is 2 micro-batches, for 4 workers: 2 of them have nothing " +
      "to do; with training.gradient_accumulation_steps 4 and training.per_device_train_batch_size 2 all of them are busy, and the batch is the same.",
  );
  assertEquals(
    idleWarning(specOf(2, 1), 3),
    "A step has training.gradient_accumulation_steps 2, that is 2 micro-batches, for 3 workers: 1 of them has nothing to " +
      "do; a multiple of 3 keeps all of them busy, with a larger batch.",
  );
  assertEquals(
    idleWarning(specOf(8, 1, 2), 3),
    "A step has fleet.local_steps.replicas 2, that is 2 inner loops, for 3 workers: 1 of them has nothing to do; " +
      "with fleet.local_steps.replicas 3 all of them are busy.",
  );
});
