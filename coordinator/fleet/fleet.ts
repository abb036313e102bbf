/**
 * The border between a job's record (HTTP, files, status, artifacts) and its training (NATS, steps, workers): what the
 * job service calls, and what the fleet reports back.
 */
import type { AuditCounts, JobEnd, MemberRef } from "../../shared/protocol/messages_coordinator.ts";
import type { GpuMemoryUse } from "../../shared/protocol/messages_worker.ts";
import type { Measurement } from "../../shared/protocol/messages_measure.ts";
import type { CheckpointFile } from "../storage/checkpoint_file.ts";
import type { WorkerQuarantine } from "../access/quarantines.ts";
import type { Evaluated, EvaluationOutcome } from "../planning/evaluation/selection.ts";
import type { CheckpointAssignment } from "../training/upload_decision.ts";
import type { PlannedJob } from "../planning/planned_job.ts";

/** A micro-batch, or an inner loop with local steps, that is left out of its step. */
export interface ExcludedMicroBatch {
  /** Position within the step. */
  readonly index: number;
  /** Workers that tried it. */
  readonly workers: readonly string[];
}

export interface StepReport {
  readonly step: number;
  readonly epoch: number;
  /** Mean cross entropy per counted token, in nats. */
  readonly loss: number;
  readonly learningRate: number;
  readonly gradientNorm: number;
  /** With local steps: inner steps of the longest inner loop, and progress through the data. */
  readonly local?: {
    readonly innerSteps: number;
    readonly dataStep: number;
    readonly totalDataSteps: number;
  };
  /** Tokens that went through the model in this step, and labels in its loss. */
  readonly tokenCount: number;
  readonly labelCount: number;
  /** Share of the labels that were the most likely token; null if a different version computed the step, or with smoothed labels. */
  readonly tokenAccuracy: number | null;
  readonly workerCount: number;
  readonly attempt: number;
  readonly seconds: number;
  /** Duration of the committed attempt; earlier ones were discarded. */
  readonly attemptSeconds: number;
  /** Payload bytes of the gradient frames that all workers published, failed attempts included. */
  readonly gradientBytesSent: number;
  /** Digest of adapter and moments, the same on all workers. */
  readonly digest: string;
  /** Encoded: the largest magnitude of each tensor of the gradient. */
  readonly maxAbs: string;
  readonly excluded: readonly ExcludedMicroBatch[];
  /** Over all steps so far. */
  readonly audits: AuditCounts;
}

/** What a job's observer has on record when training continues. */
interface ObservedProgress {
  /** Outcomes of evaluations, oldest first; left out: none. */
  readonly evaluations?: readonly Evaluated[];
  /** The last committed step. */
  readonly step: number;
  /** Steps whose adapter is stored. */
  readonly checkpointSteps: readonly number[];
}

/** Receives what happens while a job trains. */
export interface JobObserver {
  /**
   * Training continues after commit `committedStep`, or begins if that is 0, which voids all results of an earlier start.
   * Resolves with what the observer has on record.
   */
  starting(committedStep: number): Promise<ObservedProgress>;
  /** Anything a user should read, such as a worker that joins or an attempt that is repeated. */
  event(level: "info" | "warn" | "error", message: string, data?: Record<string, unknown>): void;
  /** A micro-batch of the current step is left out, unless the step's commit says otherwise. */
  microBatchExcluded(step: number, excluded: ExcludedMicroBatch): void;
  stepCommitted(report: StepReport): Promise<void>;
  /** The validation rows are evaluated on the state of the newest commit. */
  evaluated(report: EvaluationOutcome): Promise<void>;
  /** The adapter of this step is in the artifact store, checked. */
  checkpointWritten(step: number, files: readonly CheckpointFile[]): Promise<void>;
}

export interface WorkerView {
  readonly id: string;
  /** Unique per start of the process. */
  readonly incarnation: string;
  readonly name: string;
  readonly gpu: string;
  /** Tells workers of an earlier release from those of this one. */
  readonly protocolVersion: number;
  readonly state: "joining" | "loading" | "ready" | "working" | "draining" | "lost";
  readonly jobId: string | null;
  readonly joinedAt: number;
  readonly lastHeartbeatAt: number;
  /** Longest time between two ticks of the worker's event loop since it joined. */
  readonly maxHeartbeatGapMs: number;
  readonly microBatchesDone: number;
  readonly tokensPerSecond: number;
  readonly gradientBytesSent: number;
  /** Of its GPU, since the worker's start. */
  readonly gpuResets: number;
  /** Of the job that it has loaded; null without one. */
  readonly gpuMemory: GpuMemoryUse | null;
  /** Why it is lost, or cannot load the job. */
  readonly reason: string | null;
  /** In the job that trains, one sentence each. */
  readonly strikes: readonly string[];
  /** By and against it in the job that trains. A single one has no consequence. */
  readonly accusations: readonly string[];
  /** Why it gets no work; null if it does. */
  readonly quarantine: WorkerQuarantine | null;
}

export interface Fleet {
  /** The checkpoint that the job waits for; null if none, and then no files are accepted. */
  checkpointAssignment(jobId: string): CheckpointAssignment | null;
  /**
   * The stored adapter of this step is lost. If workers still hold its state, one of them writes it again. Returns whether
   * one does.
   */
  checkpointDamaged(jobId: string, step: number): boolean;
  workers(): readonly WorkerView[];
  /** Members that could measure a merge: neither leaving nor in quarantine. While a job trains they do not. */
  measurers(): { readonly isTraining: boolean; readonly workers: readonly MemberRef[] };
  /** Asks a worker for a measurement. To be repeated every second while it is wanted. */
  askToMeasure(measurement: Omit<Measurement, "coordinatorId">): void;
  /** Gives a worker in quarantine work again. Throws a `LoraFleetError` with code `not_found` if it is in none. */
  reinstate(worker: string): void;
  /**
   * Trains until the last step's checkpoint is stored, from the newest commit in the job's log if there is one. Rejects
   * with a `LoraFleetError`, or with the reason of `signal`; a later `train` may then continue.
   */
  train(job: PlannedJob, observer: JobObserver, signal: AbortSignal): Promise<void>;
  /** Deletes the queue and log of a job that is over, and announces its end, so that workers drop it. */
  forget(jobId: string, end: JobEnd): Promise<void>;
}
