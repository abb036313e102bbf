/**
 * What config.json alone tells of a job: whether it fits, and, if training.max_steps bounds it, how long it takes at most. Rows
 * and masks want a tokenizer.
 */
import type { WorkerView } from "../fleet/fleet.ts";
import type { JobStore } from "../jobs/stores/job_store.ts";
import type { PrepareRequest } from "../planning/preparation/prepare_request.ts";
import { busyWorkers } from "../planning/schedule/busy_workers.ts";
import type { DryRun, DryRunQuestion } from "./dry_run_answer.ts";
import { estimateMemories } from "./fleet_memory.ts";
import { estimateTime, speedFor } from "./time_estimate.ts";

interface ConfigParts {
  readonly store: Pick<JobStore, "jobs" | "events">;
  readonly workers: () => readonly WorkerView[];
}

type ByConfig = Omit<DryRun, "model" | "training_file">;

/** As if every micro-batch were full, which is the most that it takes. */
export async function planByConfig(
  parts: ConfigParts,
  { spec, model }: Pick<PrepareRequest, "spec" | "model">,
  question: DryRunQuestion,
  before: readonly string[],
): Promise<ByConfig> {
  const { max_seq_length: maxPositions } = spec.dataset;
  const { max_steps, per_device_train_batch_size, gradient_accumulation_steps } = spec.training;
  const maxTokensPerMicroBatch = maxPositions * per_device_train_batch_size;
  const sizes = { spec, maxTokensPerMicroBatch, maxPositions, evaluation: null };
  const steps = max_steps > 0 ? max_steps : null;
  const tokens = steps === null ? null : steps * gradient_accumulation_steps * maxTokensPerMicroBatch;
  const workers = parts.workers().filter(({ state }) => state !== "lost");
  const known = steps === null ? "memory is" : "memory, tokens and time are";
  return {
    dataset: null,
    masks: [],
    total_steps: steps,
    total_tokens: tokens,
    memory: await estimateMemories(sizes, model.folder, workers, question.gpuGib),
    time: estimateTime(tokens, speedFor(question, parts.store, spec.model), question.pricePerHour),
    busy: workers.length === 0 ? null : busyWorkers(spec, workers.length),
    exports: [],
    warnings: [
      ...before,
      `The base model's folder has no tokenizer.json, so rows and masks are not known; ${known} of full micro-batches.`,
    ],
  };
}
