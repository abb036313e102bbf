/**
 * The border between a job's life (HTTP, files, status, artifacts) and its training (NATS, steps, workers): what the
 * job service asks of the fleet, and what it hears back.
 */
import type { AuditCounts, JobEnd } from "../../shared/protocol/messages.ts";
import type { CheckpointFile } from "../storage/checkpoint_file.ts";
import type { WorkerQuarantine } from "../access/quarantines.ts";
import type { CheckpointAssignment } from "../training/upload_decision.ts";
import type { PlannedJob } from "../planning/planned_job.ts";

/** A micro-batch, or with local steps an inner loop, that is left out of its step. */
export interface ExcludedMicroBatch {
  /** Position within the step. */
  readonly index: number;
  /** Who tried it. */
  readonly workers: readonly string[];
}

export interface StepReport {
  readonly step: number;
  readonly epoch: number;
  /** Mean cross entropy per counted token, in nats. */
  readonly loss: number;
  readonly learningRate: number;
  readonly gradientNorm: number;
  /** With local steps: inner steps of its longest inner loop, and how far the data is. */
  readonly local?: {
    readonly innerSteps: number;
    readonly dataStep: number;
    readonly totalDataSteps: number;
  };
  /** All tokens that went through the model in this step, and those that counted in the loss. */
  readonly tokenCount: number;
  readonly labelCount: number;
  readonly workerCount: number;
  readonly attempt: number;
  readonly seconds: number;
  /** Of the attempt that was committed; the others computed what was thrown away. */
  readonly attemptSeconds: number;
  /** Payload bytes of gradient frames that all workers published in this step, failed attempts included. */
  readonly gradientBytesSent: number;
  /** Digest of adapter and moments, the same on all workers. */
  readonly digest: string;
  readonly excluded: readonly ExcludedMicroBatch[];
  /** Of this step and all before it. */
  readonly audits: AuditCounts;
}

/** What a job's observer already knows when its training goes on. */
export interface ToldSoFar {
  /** The last committed step. */
  readonly step: number;
  /** Steps whose adapter is stored. */
  readonly checkpointSteps: readonly number[];
}

/** What the fleet tells the job service while a job trains. */
export interface JobObserver {
  /**
   * Training begins, or goes on after commit `committedStep`; 0: from the beginning, and whatever an earlier start has
   * left is void. Resolves with what the observer was told of before.
   */
  starting(committedStep: number): Promise<ToldSoFar>;
  /** Anything a user should read: workers joining, an attempt done again and why. */
  event(level: "info" | "warn" | "error", message: string, data?: Record<string, unknown>): void;
  /** A micro-batch of the step that is being done is left out; its commit tells which have been in the end. */
  microBatchExcluded(step: number, excluded: ExcludedMicroBatch): void;
  stepCommitted(report: StepReport): Promise<void>;
  /** A worker has uploaded the adapter of this step; the files are in the artifact store, checked. */
  checkpointWritten(step: number, files: readonly CheckpointFile[]): Promise<void>;
}

export interface WorkerView {
  readonly id: string;
  /** Unique per start of the process. */
  readonly incarnation: string;
  readonly name: string;
  readonly gpu: string;
  readonly state: "joining" | "loading" | "ready" | "working" | "draining" | "lost";
  readonly jobId: string | null;
  readonly joinedAt: number;
  readonly lastHeartbeatAt: number;
  /** Longest time between two ticks of the worker's event loop since it joined. */
  readonly maxHeartbeatGapMs: number;
  readonly microBatchesDone: number;
  readonly tokensPerSecond: number;
  readonly gradientBytesSent: number;
  /** Why it is lost or was refused, where it is. */
  readonly reason: string | null;
  /** What it was to blame for in the job that is trained, one sentence each. */
  readonly strikes: readonly string[];
  /** What it says about others in the job that is trained, and others about it; one alone costs nobody anything. */
  readonly accusations: readonly string[];
  /** Why it gets no work; null where it does. */
  readonly quarantine: WorkerQuarantine | null;
}

export interface Fleet {
  /** What the job waits for; null where it is in no checkpoint, and nobody's files are taken. */
  checkpointAssignment(jobId: string): CheckpointAssignment | null;
  /**
   * The adapter's file of this step is lost: where workers still hold its state they are asked to write it again. Whether they
   * are.
   */
  checkpointDamaged(jobId: string, step: number): boolean;
  workers(): readonly WorkerView[];
  /** Gives a worker that is in quarantine work again. Throws a `LoraFleetError` with code `not_found` where it is in none. */
  reinstate(worker: string): void;
  /**
   * Trains until the last step's checkpoint is stored, from the newest commit on where the job's log has one. Rejects
   * with a `LoraFleetError`; `signal` interrupts, and leaves to `forget` or a later `train` what is to become of it.
   */
  train(job: PlannedJob, observer: JobObserver, signal: AbortSignal): Promise<void>;
  /** The job is over: its queue and its log go, and its workers hear how it has ended and may forget it. */
  forget(jobId: string, end: JobEnd): Promise<void>;
}
