/** What the fleets in memory do not say: they measure no merges, and fail rarely. */
import type { z } from "zod";
import type { welcomeSchema } from "../../shared/protocol/messages_coordinator.ts";
import type {
  measurementSchema,
  measureOutcomeSchema,
  measureTaskSchema,
} from "../../shared/protocol/messages_measure.ts";
import type {
  checkpointReportSchema,
  heartbeatSchema,
  updateReportSchema,
} from "../../shared/protocol/messages_worker.ts";

const DIGEST = "0a".repeat(32);
const FILE = { name: "adapter_model.safetensors", size: 2, sha256: DIGEST };

const ASSIGNED: z.input<typeof measurementSchema> = {
  ...{ coordinatorId: "c-1", worker: "w-0", incarnation: "i-w-0-1", exportId: "export-1", attempt: 1 },
};

const TASK: z.input<typeof measureTaskSchema> = {
  ...{ exportId: "export-1", jobId: "ftjob-sim", attempt: 1 },
  model: { hash: DIGEST, files: [{ name: "config.json", size: 7, sha256: DIGEST }] },
  modelFolder: "/models/toy",
  lora: {
    ...{ r: 4, lora_alpha: 16, lora_dropout: 0, bias: "none", task_type: "CAUSAL_LM", use_rslora: false },
    target_modules: ["q_proj"],
  },
  ...{ doubleQuantization: true, base: "nf4", dtype: "bfloat16" },
  files: [FILE, { ...FILE, name: "adapter_config.json" }, { ...FILE, name: "rows.bin" }],
  ...{ rowsOf: "validation", rowsAvailable: 12 },
};

const DRIFT = {
  ...{
    rows: 2,
    rows_available: 12,
    rows_of: "validation" as const,
    tokens: 4,
    logit_mean_abs: 0.001,
    logit_max_abs: 0.25,
  },
  ...{
    kl_mean: 1e-6,
    top1_agreement: 1,
    exact_match_base: 0,
    exact_match_trained: 1,
    exact_match_merged: 0.5,
  },
  same_rows: 0.5,
};

const OUTCOMES: readonly z.input<typeof measureOutcomeSchema>[] = [
  { type: "measured", attempt: 1, drift: DRIFT },
  { type: "failed", attempt: 1, code: "storage", reason: "no room" },
];

const SELF = { worker: "w-0", incarnation: "i-w-0-1" };

const REFUSED: z.input<typeof welcomeSchema> = {
  type: "refused",
  reason:
    "the worker speaks protocol version 9, the coordinator version 7: update the coordinator, so that both run the same release",
};

const FAILED: z.input<typeof heartbeatSchema> = {
  ...{ ...SELF, name: "pc", gpu: "toy", draining: false, maxGapMs: 7.5, microBatchesDone: 3 },
  ...{ tokensPerSecond: 10.25, gradientBytesSent: 5, gpuResets: 1, linkBytesPerSecond: null, busy: null },
  job: {
    ...{ phase: "failed", jobId: "ftjob-sim", startId: "s-1", code: "gpu_failure" },
    ...{ message: "the device was lost", param: null },
  },
};

const LOADED: z.input<typeof heartbeatSchema> = {
  ...FAILED,
  job: {
    ...{ phase: "loaded", jobId: "ftjob-sim", startId: "s-1", committed: { step: 0, digest: DIGEST } },
    layout: { tensorCount: 1, elementCount: 8, parameterCount: 8 },
    ...{ pissaDigest: DIGEST, gpuMemory: { plannedBytes: 1024, budgetBytes: null } },
  },
};

const UNWRITTEN: z.input<typeof checkpointReportSchema> = {
  ...SELF,
  ...{ step: 3, outcome: { type: "failed", reason: "disk full" } },
};

const ALONE: z.input<typeof updateReportSchema> = {
  ...{ ...SELF, term: 1, step: 3, attempt: 1, generation: 4, digest: DIGEST, gradientNorm: null },
  ...{ gradientBytesSent: 0, check: null },
};

/** By the names of their schemas. */
export const RARE: readonly (readonly [schema: string, message: unknown])[] = [
  ["measurementSchema", ASSIGNED],
  ["measureTaskSchema", TASK],
  ["measureTaskSchema", { ...TASK, dtype: null, rowsAvailable: null }],
  ...OUTCOMES.map((outcome) => ["measureOutcomeSchema", outcome] as const),
  ["welcomeSchema", REFUSED],
  ["heartbeatSchema", FAILED],
  ["heartbeatSchema", LOADED],
  ["checkpointReportSchema", UNWRITTEN],
  ["updateReportSchema", ALONE],
];
