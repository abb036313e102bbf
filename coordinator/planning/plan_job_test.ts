import { assertEquals, assertNotEquals } from "@std/assert";
import { type JobSpec, localStepsSchema } from "../../shared/job/job_spec_schema.ts";
import { countLabels } from "../../shared/data/packing/micro_batch.ts";
import { documentsOf, MODEL, prepare, specOf, texts } from "./preparation/dataset_fixture.ts";
import { itemCountOf } from "./work_items.ts";
import { planJob } from "./plan_job.ts";
import type { PlannedJob } from "./planned_job.ts";
import { tokenCountOf, tokensUntil } from "./token_count.ts";

const savesOf = ({ checkpointSteps, totalSteps }: PlannedJob) =>
  Array.from({ length: totalSteps }, (_, i) => i + 1).filter((step) => checkpointSteps.includes(step));

Deno.test("the same file and spec always give the same job", async () => {
  const spec = specOf({ max_seq_length: 32 }, {
    gradient_accumulation_steps: 2,
    per_device_train_batch_size: 2,
  });
  const plans = await Promise.all([1, 2].map(async () => {
    const { rows, sha256 } = await prepare(texts(30), spec);
    return planJob({ id: "job-1", spec, model: MODEL, modelFolder: "/m", rows, datasetSha256: sha256 });
  }));
  const [a, b] = plans as [typeof plans[0], typeof plans[0]];
  assertEquals(a.specHash, b.specHash);
  for (let step = 1; step <= a.totalSteps; step++) {
    assertEquals(a.microBatchesOf(step), b.microBatchesOf(step));
  }
});

Deno.test("a plan's steps hold every trained token once an epoch, within the sizes it announces", async () => {
  const spec = specOf({ max_seq_length: 32 }, {
    gradient_accumulation_steps: 3,
    per_device_train_batch_size: 2,
    num_train_epochs: 2,
    save_strategy: "epoch",
  });
  const { rows, sha256, report } = await prepare(texts(40), spec);
  const plan = planJob({ id: "job-1", spec, model: MODEL, modelFolder: "/m", rows, datasetSha256: sha256 });
  let labels = 0;
  let largest = 0;
  let positions = 0;
  for (let step = 1; step <= plan.totalSteps; step++) {
    assertEquals(itemCountOf(plan, step), plan.microBatchesOf(step).length);
    for (const batch of plan.microBatchesOf(step)) {
      labels += countLabels(batch);
      largest = Math.max(largest, batch.tokens.length);
      positions = Math.max(positions, ...[...batch.positions].map((position) => position + 1));
    }
  }
  assertEquals(labels, 2 * report.trainedTokenCount);
  assertEquals([plan.maxTokensPerMicroBatch, plan.maxPositions], [largest, positions]);
  assertEquals(savesOf(plan), [plan.totalSteps / 2, plan.totalSteps]);
  assertEquals(plan.epochsAfter(plan.totalSteps), 2);
});

Deno.test("the hash changes with spec, data and base model", async () => {
  const { rows, sha256 } = await prepare(texts(4), specOf());
  const hashOf = (spec: JobSpec, datasetSha256: string, hash: string) =>
    planJob({ id: "j", spec, model: { ...MODEL, hash }, modelFolder: "/m", rows, datasetSha256 }).specHash;
  const hashes = [
    hashOf(specOf(), sha256, MODEL.hash),
    hashOf(specOf({}, {}, 43), sha256, MODEL.hash),
    hashOf(specOf(), "c".repeat(64), MODEL.hash),
    hashOf(specOf(), sha256, "d".repeat(64)),
  ];
  assertEquals(new Set(hashes).size, 4);
  assertNotEquals((await prepare(texts(5), specOf())).sha256, sha256);
});

Deno.test("with local steps each data step is in one inner loop of one outer step; steps and checkpoints are outer ones", async () => {
  const training = {
    num_train_epochs: 3,
    gradient_accumulation_steps: 2,
    save_strategy: "steps",
    save_steps: 5,
  };
  const plain = specOf({ packing: false }, training);
  const spec = {
    ...plain,
    fleet: { ...plain.fleet, local_steps: localStepsSchema.parse({ inner_steps: 3, replicas: 2 }) },
  };
  const { rows, sha256 } = await prepare(texts(9), spec);
  const planOf = (spec: JobSpec) =>
    planJob({ id: "j", spec, model: MODEL, modelFolder: "/m", rows, datasetSha256: sha256 });
  const [steps, plan] = [planOf(plain), planOf(spec)];
  // Five data steps an epoch, the last one of one micro-batch alone.
  assertEquals([steps.totalSteps, plan.totalSteps, plan.local!.totalDataSteps], [15, 3, 15]);
  assertEquals([savesOf(steps), savesOf(plan)], [[5, 10, 15], [1, 2, 3]]);
  assertEquals(
    [1, 2, 3].map((step) => plan.epochsAfter(step)),
    [6, 12, 15].map((step) => steps.epochsAfter(step)),
  );
  const innerSteps = [1, 2, 3].flatMap((step) => plan.local!.innerLoopsOf(step)).flatMap(({ innerSteps }) =>
    innerSteps
  );
  const micro = innerSteps.map(({ number, microBatchCount }) => [number, microBatchCount] as const)
    .sort(([a], [b]) => a - b);
  assertEquals(micro, Array.from({ length: 15 }, (_, i) => [2 * i, i % 5 === 4 ? 1 : 2] as const));
  assertEquals(plan.microBatchesOf(15), steps.microBatchesOf(15));
  assertNotEquals(plan.specHash, steps.specHash);
});

Deno.test("a micro-batch's lines are those of the file that it was made of", async () => {
  // Lines 2 and 5 are blank.
  const file = ["a b", null, "c d e", "f", null, "g h i j k"]
    .map((text) => text === null ? "\n" : JSON.stringify({ text }) + "\n").join("");
  const plan = async (dataset: Record<string, unknown>, rowsPerMicroBatch = 1) => {
    const spec = specOf({ shuffle: false, ...dataset }, {
      ...{
        per_device_train_batch_size: rowsPerMicroBatch,
        gradient_accumulation_steps: 2,
        num_train_epochs: 1,
      },
    });
    const { rows, sha256 } = await prepare(file, spec);
    const job = planJob({ id: "j", spec, model: MODEL, modelFolder: "/m", rows, datasetSha256: sha256 });
    return Array.from(
      { length: job.totalSteps },
      (_, i) =>
        job.microBatchesOf(i + 1).map((batch, index) => [job.linesOf(i + 1, index), batch.tokens.length]),
    ).flat();
  };
  assertEquals((await plan({ packing: false })).map(([lines]) => lines), [[1], [3], [4], [6]]);
  assertEquals((await plan({ packing: false }, 3)).map(([lines]) => lines), [[1, 3, 4], [6]]);
  assertEquals((await plan({ packing: false, split: "train[1:3]+train[:2]" }, 4)).map(([lines]) => lines), [
    [1, 3, 4],
  ]);
  // All of them in one row.
  assertEquals((await plan({ max_seq_length: 512 })).map(([lines]) => lines), [[1, 3, 4, 6]]);
  const wrapped = await plan({ packing_strategy: "wrapped", max_seq_length: 4 });
  assertEquals(new Set(wrapped.flatMap(([lines]) => lines)), new Set([1, 3, 4, 6]));
});

Deno.test("token counts of steps equal those of their micro-batches, with and without local steps", async () => {
  const training = { num_train_epochs: 3, gradient_accumulation_steps: 2, per_device_train_batch_size: 2 };
  const plain = specOf({ packing: false }, training);
  const spec = {
    ...plain,
    fleet: { ...plain.fleet, local_steps: localStepsSchema.parse({ inner_steps: 2, replicas: 2 }) },
  };
  const { rows, sha256 } = await prepare(texts(13), plain);
  const planOf = (spec: JobSpec) =>
    planJob({ id: "j", spec, model: MODEL, modelFolder: "/m", rows, datasetSha256: sha256 });
  const [steps, outer] = [planOf(plain), planOf(spec)];
  const tokensOf = (dataStep: number) => steps.microBatchesOf(dataStep).map(({ tokens }) => tokens.length);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  let total = 0;
  for (let step = 1; step <= steps.totalSteps; step++) {
    assertEquals(tokenCountOf(steps, step, []), sum(tokensOf(step)));
    assertEquals(tokenCountOf(steps, step, [0]), sum(tokensOf(step).slice(1)));
    total += sum(tokensOf(step));
    assertEquals(tokensUntil(steps, step, [{ step: step + 1, microBatch: 0 }]), total);
    assertEquals(tokensUntil(steps, step, [{ step: 1, microBatch: 1 }]), total - tokensOf(1)[1]!);
  }
  // Four data steps an outer step: the second replica has the second and the fourth of them.
  assertEquals(tokenCountOf(outer, 2, []), sum([5, 6, 7, 8].flatMap(tokensOf)));
  assertEquals(tokenCountOf(outer, 2, [1]), sum([5, 7].flatMap(tokensOf)));
  assertEquals([tokensUntil(outer, 0, []), tokensUntil(outer, outer.totalSteps, [])], [0, total]);
});

Deno.test("a million epochs are planned in constant time, and their buffers hold any micro-batch", async () => {
  for (const rowsEach of [1, 3]) {
    const training = {
      num_train_epochs: 1e6,
      per_device_train_batch_size: rowsEach,
      gradient_accumulation_steps: 2,
    };
    const spec = specOf({ packing: false }, training);
    const { rows, sha256 } = await prepare(texts(243), spec);
    const startedAt = performance.now();
    const plan = planJob({ id: "j", spec, model: MODEL, modelFolder: "/m", rows, datasetSha256: sha256 });
    const steps = Math.ceil(Math.ceil(243 / rowsEach) / 2) * 1e6;
    assertEquals([plan.totalSteps, plan.checkpointSteps.includes(steps)], [steps, true]);
    assertEquals(tokensUntil(plan, steps, []), 1e6 * rows.tokens.length);
    assertEquals(
      plan.maxTokensPerMicroBatch,
      rowsEach * Math.max(...documentsOf(rows).map((d) => d.tokens.length)),
    );
    const elapsed = performance.now() - startedAt;
    assertEquals(elapsed < 1000, true, `${elapsed} ms`);
  }
});
