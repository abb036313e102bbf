/** The job of the tests, its micro-batches and its limits. */
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import { LIMITS, type Limits } from "../../shared/protocol/limits.ts";
import type { JobAnnouncement } from "../../shared/protocol/messages_coordinator.ts";
import { encodeWorkItem, type WorkItemHeader } from "../../shared/protocol/messages_work_item.ts";

export const TEST_LIMITS: Limits = { ...LIMITS, eventLoopTickMs: 100 };

export const JOB: JobAnnouncement = {
  jobId: "ftjob-a",
  startId: "s-1",
  specHash: "spec",
  model: { hash: "0".repeat(64), files: [{ name: "config.json", size: 1, sha256: "1".repeat(64) }] },
  modelFolder: "/models/toy",
  baseModelName: "toy",
  savesState: true,
  gradientCodec: "exact",
  localSteps: null,
  engine: {
    lora: {
      r: 4,
      lora_alpha: 16,
      lora_dropout: 0,
      bias: "none",
      task_type: "CAUSAL_LM",
      use_rslora: false,
      target_modules: ["q_proj"],
    },
    seed: 7,
    doubleQuantization: true,
    gradientCheckpointing: true,
    maxTokensPerMicroBatch: 8,
    maxPositions: 8,
  },
  optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradientNorm: 1 },
};

/** Each number has its own tokens. */
export function microBatchOf(number: number): MicroBatch {
  const tokens = Uint32Array.from({ length: 4 }, (_, i) => 10 * number + i);
  return {
    tokens,
    labels: Int32Array.from(tokens, (token) => token + 1),
    positions: Uint32Array.of(0, 1, 2, 3),
    segmentStarts: new Uint32Array(4),
  };
}

/** A work item of `JOB`, with the rows of micro-batch `rows`. */
export function workItemOf(
  header: Pick<WorkItemHeader, "step" | "attempt" | "index" | "number"> & Partial<WorkItemHeader>,
  rows = header.number,
): Uint8Array {
  const { jobId, startId, specHash } = JOB;
  return encodeWorkItem({ jobId, startId, specHash, audit: false, ...header }, microBatchOf(rows));
}
