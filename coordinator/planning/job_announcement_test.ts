import { assertEquals } from "@std/assert";
import { jobSpecSchema } from "../../shared/job/job_spec_schema.ts";
import type { PlannedJob } from "./planned_job.ts";
import { announcementOf } from "./job_announcement.ts";

const HUB_FOLDER = `/cache/models--org--tiny-llama/snapshots/${"a".repeat(40)}`;

function jobOf(model: string, modelFolder: string, groups: object): PlannedJob {
  return {
    id: "ftjob-1",
    spec: jobSpecSchema.parse({ model, training_file: "file-1", ...groups }),
    specHash: "",
    model: { hash: "", files: [] },
    modelFolder,
    totalSteps: 1,
    checkpointSteps: [1],
    maxTokensPerMicroBatch: 1,
    maxPositions: 1,
    epochsAfter: () => 1,
    microBatchesOf: () => [],
    tokensThrough: () => 0,
    linesOf: () => [],
  };
}

/** The base model in the adapter's config. */
function baseOf(model: string, modelFolder: string, lora: object = {}) {
  const { baseModelName, engine } = announcementOf(jobOf(model, modelFolder, { lora }), "start");
  return [baseModelName, engine.lora.revision];
}

Deno.test("the adapter names its base model as AutoPeftModel finds it: hub id and revision, or the job's own name", () => {
  assertEquals(baseOf("org/tiny-llama", HUB_FOLDER), ["org/tiny-llama", undefined]);
  assertEquals(baseOf("org/tiny-llama@v2", HUB_FOLDER), ["org/tiny-llama", "v2"]);
  assertEquals(baseOf("org/tiny-llama@main", HUB_FOLDER), ["org/tiny-llama", undefined]);
  assertEquals(baseOf(HUB_FOLDER, HUB_FOLDER), ["org/tiny-llama", undefined]);
  assertEquals(baseOf("org/other@v1", "/models/org/other@v1"), ["org/other@v1", undefined]);
  assertEquals(baseOf("base", "/models/base"), ["base", undefined]);
});

Deno.test("lora.base_model_name_or_path and revision set the name in the adapter's config", () => {
  const named = { base_model_name_or_path: "meta/real" };
  assertEquals(baseOf("base", "/models/base", named), ["meta/real", undefined]);
  assertEquals(baseOf("org/tiny-llama@v2", HUB_FOLDER, named), ["meta/real", undefined]);
  assertEquals(baseOf("org/tiny-llama@v2", HUB_FOLDER, { revision: "v3" }), ["org/tiny-llama", "v3"]);
});

Deno.test("steps and tokens of the whole job are announced for the workers' logs, where the plan has them", () => {
  const job = { ...jobOf("base", "/models/base", {}), totalSteps: 40 };
  assertEquals(announcementOf({ ...job, totalTokens: 1200 }, "start").totals, { steps: 40, tokens: 1200 });
  assertEquals(Object.hasOwn(announcementOf(job, "start"), "totals"), false);
});

Deno.test("noise and smoothed labels are announced; a job without them is announced as ever", () => {
  const engineOf = (training: object) =>
    announcementOf(jobOf("base", "/models/base", { training }), "start").engine;
  assertEquals(Object.hasOwn(engineOf({}), "regularisation"), false);
  assertEquals(engineOf({ neftune_noise_alpha: 5 }).regularisation, { noiseAlpha: 5, labelSmoothing: 0 });
  assertEquals(engineOf({ label_smoothing_factor: 0.1 }).regularisation, {
    noiseAlpha: 0,
    labelSmoothing: 0.1,
  });
});
