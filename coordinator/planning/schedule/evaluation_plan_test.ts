import { assert, assertEquals } from "@std/assert";
import { countLabels } from "../../../shared/data/packing/micro_batch.ts";
import { planJob } from "../plan_job.ts";
import { MODEL, prepare, specOf, texts } from "../preparation/dataset_fixture.ts";
import { evaluationSteps } from "./evaluation_plan.ts";
import { localPlanOf } from "./local_plan.ts";
import { planShards } from "./shard_plan.ts";

const planned = async (training: Record<string, unknown>, evaluated = texts(23), dataset = {}) => {
  const spec = specOf({ max_seq_length: 32, ...dataset }, { eval_strategy: "epoch", ...training });
  const { rows, sha256 } = await prepare(texts(40), spec);
  const validation = await prepare(evaluated, spec);
  return {
    plan: planJob({
      ...{ id: "job-1", spec, model: MODEL, modelFolder: "/m", rows, datasetSha256: sha256 },
      validation: { rows: validation.rows, sha256: validation.sha256 },
    }),
    report: validation.report,
  };
};

Deno.test("the micro-batches of an evaluation hold each token once, within what training needs anyway", async () => {
  for (const per_device_eval_batch_size of [1, 3, 8]) {
    for (const packing of [true, false]) {
      const { plan, report } = await planned({ per_device_eval_batch_size }, texts(23), { packing });
      const { evaluation, maxTokensPerMicroBatch } = plan;
      const batches = Array.from(
        { length: evaluation!.microBatchCount },
        (_, i) => evaluation!.microBatchAt(i),
      );
      const sumOf = (of: (batch: typeof batches[0]) => number) =>
        batches.reduce((sum, batch) => sum + of(batch), 0);
      assertEquals(sumOf(({ tokens }) => tokens.length), report.tokenCount);
      assertEquals(sumOf(countLabels), report.trainedTokenCount);
      assertEquals(evaluation!.maxTokens, Math.max(...batches.map(({ tokens }) => tokens.length)));
      assert(evaluation!.maxTokens <= maxTokensPerMicroBatch);
    }
  }
});

Deno.test("a document longer than any that is trained on is a micro-batch of its own", async () => {
  const long = { text: "word ".repeat(25) };
  const { plan } = await planned({}, [...texts(3), long], { packing: false, max_seq_length: 512 });
  assert(plan.evaluation!.maxTokens > plan.maxTokensPerMicroBatch);
  assertEquals(plan.maxPositions, plan.evaluation!.maxTokens);
});

const shards = planShards({
  ...{ rowCount: 40, epochs: 2, rowsPerMicroBatch: 1, microBatchesPerStep: 4 },
  ...{ seed: 1, maxSteps: -1, shuffle: true },
});

const stepsOf = (training: Record<string, unknown>) => {
  const steps = evaluationSteps(shards, specOf({}, training).training, null);
  return Array.from({ length: shards.totalSteps + 1 }, (_, step) => step).filter((step) =>
    steps.includes(step)
  );
};

Deno.test("evaluations are due as in transformers, and after the last step", () => {
  assertEquals(stepsOf({ eval_strategy: "epoch" }), [10, 20]);
  assertEquals(stepsOf({ eval_strategy: "steps", eval_steps: 6 }), [6, 12, 18, 20]);
  assertEquals(stepsOf({ eval_strategy: "steps", eval_steps: 0.25 }), [5, 10, 15, 20]);
  assertEquals(stepsOf({ eval_strategy: "steps", eval_steps: 6, eval_delay: 7 }), [12, 18, 20]);
  assertEquals(stepsOf({ eval_strategy: "epoch", eval_delay: 1.5 }), [20]);
  assertEquals(stepsOf({ eval_strategy: "epoch", eval_on_start: true }), [0, 10, 20]);
  assertEquals(stepsOf({ eval_strategy: "steps", eval_steps: 50, eval_delay: 100 }), [20]);
});

Deno.test("with local steps an outer step is evaluated if one of its data steps is due", () => {
  const spec = specOf({}, { eval_strategy: "steps", eval_steps: 6, gradient_accumulation_steps: 4 });
  const fleet = { local_steps: { inner_steps: 2, replicas: 2, outer_learning_rate: 1, outer_momentum: 0 } };
  const local = localPlanOf({ training: spec.training, fleet }, shards.totalSteps, shards.microBatchCountOf)!;
  const steps = evaluationSteps(shards, spec.training, local);
  // Outer steps end after data steps 4, 8, 12, 16, 20.
  assertEquals([0, 1, 2, 3, 4, 5].filter((step) => steps.includes(step)), [2, 3, 5]);
});

Deno.test("load_best_model_at_end stores an adapter after each evaluation", async () => {
  const training = { eval_strategy: "steps", eval_steps: 2, save_strategy: "no" };
  const savesOf = async (change: Record<string, unknown>) => {
    const { plan } = await planned({ ...training, ...change });
    const steps = Array.from({ length: plan.totalSteps }, (_, i) => i + 1);
    const saved = steps.filter((step) => plan.checkpointSteps.includes(step));
    return {
      saved,
      evaluated: steps.filter((step) => plan.evaluation!.steps.includes(step)),
      last: plan.totalSteps,
    };
  };
  const best = await savesOf({ load_best_model_at_end: true });
  assertEquals(best.saved, best.evaluated);
  const without = await savesOf({});
  assertEquals(without.saved, [without.last]);
});
