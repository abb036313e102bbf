/** One or more good messages of every kind that travels between coordinator and workers, with what decodes them. */
import {
  attemptFailureSchema,
  checkpointReportSchema,
  evaluationReportSchema,
  type Heartbeat,
  heartbeatSchema,
  helloSchema,
  itemRequestSchema,
  leaveSchema,
  microBatchReportSchema,
  PROTOCOL_VERSION,
  recoverRequestSchema,
  rowsRequestSchema,
  updateReportSchema,
} from "../../shared/protocol/messages_worker.ts";
import {
  commitEntrySchema,
  fleetStateSchema,
  type JobAnnouncement,
  NO_AUDITS,
  receivedSchema,
  stepStateSchema,
  verdictAnswerSchema,
  welcomeSchema,
} from "../../shared/protocol/messages_coordinator.ts";
import { encodeChecksums, encodeFloats } from "../../shared/protocol/messages_codec.ts";
import {
  decodeWorkItemHeader,
  decodeWorkItemInnerLoop,
  decodeWorkItemRows,
  encodeInnerLoopItem,
  encodeWorkItem,
} from "../../shared/protocol/messages_work_item.ts";
import { encodeMicroBatch } from "../../shared/protocol/micro_batch_codec.ts";
import { decodeMicroBatch } from "../../shared/protocol/micro_batch_codec.ts";
import { decodeStateFrame, encodeStateFrame } from "../../shared/protocol/state/state_frame.ts";
import {
  decodeFrame,
  encodeFrame,
  type FrameHeader,
  type FrameKind,
} from "../../shared/protocol/tensor_frame.ts";
import { message, type Sample } from "./sample.ts";
import { termHash } from "../../worker/allreduce/round/round_id.ts";

const JOB = "ftjob-a";
const START = { jobId: JOB, startId: "s-1" };
const DIGEST = "0a".repeat(32);
const SELF = { worker: "w-a", incarnation: "i-1" };
const ATTEMPT = { ...SELF, term: 1, step: 3, attempt: 2 };
const COMMITTED = { step: 2, digest: DIGEST };
const CHECKSUM = encodeChecksums(Int32Array.of(-5, 7));
const FLOATS = encodeFloats(Float32Array.of(0, 1.5, NaN, -Infinity));

const ANNOUNCEMENT: JobAnnouncement = {
  ...START,
  specHash: "spec",
  model: { hash: DIGEST, files: [{ name: "config.json", size: 7, sha256: DIGEST }] },
  modelFolder: "/models/base",
  baseModelName: "base",
  savesState: true,
  gradientCodec: "exact",
  localSteps: null,
  engine: {
    lora: {
      ...{ r: 4, lora_alpha: 16, lora_dropout: 0, bias: "none", task_type: "CAUSAL_LM", use_rslora: false },
      target_modules: ["q_proj"],
    },
    ...{ seed: 7, doubleQuantization: true, gradientCheckpointing: true },
    ...{ maxTokensPerMicroBatch: 8, maxPositions: 8 },
  },
  optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradientNorm: 1 },
};

export const HEARTBEAT: Heartbeat = {
  ...SELF,
  ...{
    name: "pc",
    gpu: "a GPU",
    draining: false,
    maxGapMs: 7.5,
    microBatchesDone: 3,
    tokensPerSecond: 10.25,
  },
  ...{ gradientBytesSent: 5, linkBytesPerSecond: 1e6 },
  job: {
    ...{ phase: "loaded", ...START, committed: { step: 0, digest: DIGEST } },
    layout: { tensorCount: 1, elementCount: 8, parameterCount: 8 },
  },
  busy: { step: 1, attempt: 1, index: 0, sinceMs: 4.5 },
};

/** What workers say to the coordinator. */
export const WORDS = {
  hello: message("hello", helloSchema, {
    ...SELF,
    ...{ protocolVersion: PROTOCOL_VERSION, name: "pc", gpu: "a GPU" },
  }),
  leave: message("leave", leaveSchema, { ...SELF, reason: "drained" }),
  heartbeat: message("heartbeat", heartbeatSchema, HEARTBEAT),
  report: message("report", microBatchReportSchema, {
    ...ATTEMPT,
    ...{
      index: 1,
      claim: 9,
      lossSum: 12.5,
      labelCount: 7,
      correctCount: 2,
      maxAbs: FLOATS,
      computeMs: 100.5,
    },
    ...{ gradientDigest: null, gradientCheck: null, audit: null },
  }),
  audit: message("audit", microBatchReportSchema, {
    ...ATTEMPT,
    ...{
      index: 1,
      claim: 9,
      lossSum: null,
      labelCount: 7,
      correctCount: 2,
      maxAbs: FLOATS,
      computeMs: 100.5,
    },
    ...{ gradientDigest: DIGEST, gradientCheck: CHECKSUM, audit: 4 },
  }),
  evaluation: message("evaluation", evaluationReportSchema, {
    ...{ ...SELF, term: 1, step: 0, index: 2 },
    outcome: { type: "evaluated", lossSum: 12.5, labelCount: 7, correctCount: 3, computeMs: 100.5 },
  }),
  item: message("item", itemRequestSchema, { ...ATTEMPT, index: 1 }),
  update: message("update", updateReportSchema, {
    ...ATTEMPT,
    ...{ generation: 4, digest: DIGEST, gradientNorm: 0.5, gradientBytesSent: 64 },
    check: { given: CHECKSUM, received: CHECKSUM, total: CHECKSUM, result: CHECKSUM },
  }),
  failure: message("failure", attemptFailureSchema, {
    ...ATTEMPT,
    ...{ reason: "the GPU is gone", suspects: ["w-a", "w-b"], gradientBytesSent: 64 },
  }),
  checkpoint: message("checkpoint", checkpointReportSchema, {
    ...SELF,
    step: 3,
    outcome: { type: "written", files: [{ name: "adapter_config.json", size: 2, sha256: DIGEST }] },
  }),
} as const;

/** What the coordinator says, and what workers say to each other, in JSON. */
const OTHER_WORDS: readonly Sample[] = [
  message("failed job", heartbeatSchema, {
    ...HEARTBEAT,
    job: { phase: "failed", ...START, code: "gpu_failure", message: "lost", param: null },
    busy: null,
  }),
  message("failed checkpoint", checkpointReportSchema, {
    ...SELF,
    ...{ step: 3, outcome: { type: "failed", reason: "disk full" } },
  }),
  message("recover", recoverRequestSchema, {
    startId: "s-1",
    committed: COMMITTED,
    offset: 0,
    count: 4,
  }),
  message("rows", rowsRequestSchema, {
    ...SELF,
    ...{ term: 1, step: 3, attempt: 2, index: 1, number: 9 },
  }),
  message("welcome", welcomeSchema, { type: "welcome", coordinatorId: "c", term: 3, generation: 7 }),
  message("refused", welcomeSchema, { type: "refused", reason: "another release" }),
  message("fleet", fleetStateSchema, {
    ...{ coordinatorId: "c", term: 3, generation: 7, members: [SELF], job: ANNOUNCEMENT },
  }),
  message("state", stepStateSchema, {
    ...{
      ...START,
      revision: 5,
      step: 3,
      term: 1,
      attempt: 2,
      generation: 4,
      phase: "reduce",
      members: [SELF],
    },
    ...{
      weights: [1],
      holders: ["w-a"],
      quarantined: [],
      committed: COMMITTED,
      microBatchCount: 2,
      exponents: [-4, null],
    },
    ...{
      assignments: [],
      ledger: [0, null],
      labelCount: 14,
      learningRate: 1e-4,
      checkSeed: 4_000_000_000,
      roundMs: 20_000.5,
      checkpointWriter: null,
    },
  }),
  message("state with assignments", stepStateSchema, {
    ...{ ...START, revision: 5, step: 3, term: 1, attempt: 2, generation: 4, phase: "compute" },
    ...{
      members: [SELF],
      weights: [1],
      holders: [],
      quarantined: [],
      committed: null,
      microBatchCount: 2,
      exponents: null,
    },
    assignments: [{ id: 1, index: 0, worker: "w-a", purpose: "audit" }],
    ...{
      ledger: [],
      labelCount: 0,
      learningRate: 1e-4,
      checkSeed: 0,
      roundMs: 20_000,
      checkpointWriter: null,
    },
  }),
  message("verdict", verdictAnswerSchema, { verdict: "counted" }),
  message("received", receivedSchema, { type: "received" }),
  message("commit", commitEntrySchema, {
    ...{ ...START, specHash: "spec", step: 3, attempt: 2, generation: 4, digest: DIGEST, members: ["w-a"] },
    ...{ labelCount: 14, loss: 1.25, gradientNorm: 0.5, maxAbs: FLOATS, committedAt: 1_700_000_000_000 },
    ...{ excluded: [{ index: 1, workers: ["w-a"] }], excludedTotal: 1, audits: NO_AUDITS },
  }),
];

const BATCH = {
  tokens: Uint32Array.of(5, 6, 7, 8),
  labels: Int32Array.of(6, -100, 8, 9),
  positions: Uint32Array.of(0, 1, 0, 1),
  segmentStarts: Uint32Array.of(0, 0, 2, 2),
};

export function frameOf(kind: FrameKind, change: Partial<FrameHeader> = {}): Uint8Array {
  const places = { senderIndex: 1, ownerIndex: 0, chunkIndex: 1, chunkCount: 4, elementOffset: 16 };
  const round = { jobHash: termHash(JOB, "", 1), generation: 7, step: 3, attempt: 1 };
  return encodeFrame({ kind, codec: "i32", ...round, ...places, ...change }, new Int32Array(16).fill(-5));
}

const BINARIES: readonly Sample[] = [
  ...(["reduce_scatter", "all_gather", "ack"] as const).map((kind) => ({
    ...{ name: kind, bytes: frameOf(kind), isMessage: false },
    throughDecoder: (bytes: Uint8Array) => {
      const { payload, ...header } = decodeFrame(bytes);
      return encodeFrame(header, payload);
    },
  })),
  {
    ...{
      name: "state frame",
      bytes: encodeStateFrame(START, 3, 8, Int32Array.of(1, 2, 3)),
      isMessage: false,
    },
    throughDecoder: (bytes) => encodeStateFrame(START, 3, 8, decodeStateFrame(START, 3, 8, bytes)),
  },
  {
    ...{ name: "micro-batch", bytes: encodeMicroBatch(BATCH), isMessage: false },
    throughDecoder: (bytes) => encodeMicroBatch(decodeMicroBatch(bytes)),
  },
  {
    name: "work item",
    bytes: encodeWorkItem(
      { ...START, specHash: "spec", step: 3, attempt: 2, index: 1, number: 9, audit: true },
      BATCH,
    ),
    isMessage: false,
    throughDecoder: (bytes) => encodeWorkItem(decodeWorkItemHeader(bytes), decodeWorkItemRows(bytes)),
  },
  {
    name: "phase",
    bytes: encodeInnerLoopItem(
      { ...START, specHash: "spec", step: 3, attempt: 2, index: 1, number: 9, audit: false },
      { innerSteps: [{ number: 9, microBatchCount: 2, learningRate: 1e-4 }] },
    ),
    isMessage: false,
    throughDecoder: (bytes) =>
      encodeInnerLoopItem(
        decodeWorkItemHeader(bytes),
        decodeWorkItemInnerLoop(bytes),
      ),
  },
];

export const SAMPLES: readonly Sample[] = [...Object.values(WORDS), ...OTHER_WORDS, ...BINARIES];
