/**
 * The border between a job's life (HTTP, files, status, artifacts) and its training (NATS, steps, workers): what the
 * job service asks of the fleet, and what it hears back.
 */
import type { JobSpec } from "../../shared/job/job_spec.ts";
import type { AuditCounts, JobEnd } from "../../shared/protocol/messages.ts";
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import type { InitialState } from "../jobs/initial_adapter.ts";
import type { LocalPlan } from "../planning/local_plan.ts";
import type { ModelManifest } from "../../shared/model/model_manifest.ts";
import type { CheckpointSteps } from "../planning/shard_plan.ts";

/** A validated job whose data is ready: everything that the steps need, computed before the first one. */
export interface PlannedJob {
  readonly id: string;
  readonly spec: JobSpec;
  /** SHA-256 of the canonical spec, data included: state of another spec is never loaded. */
  readonly specHash: string;
  readonly model: ModelManifest;
  /** Where the coordinator found the base model; a worker on the same machine may read it there after checking it. */
  readonly modelFolder: string;
  /** With local steps: outer steps, as everywhere here. */
  readonly totalSteps: number;
  readonly checkpointSteps: CheckpointSteps;
  readonly maxTokensPerMicroBatch: number;
  readonly maxPositions: number;
  /** Epochs done after a step (1-based): 0.5 after half of the first one's micro-batches. */
  epochsAfter(step: number): number;
  /**
   * The micro-batches of a step (1-based), with local steps of a data step, in their order; pure, so that an
   * attempt can be done again.
   */
  microBatchesOf(step: number): readonly MicroBatch[];
  /** Tokens that go through the model in all data steps up to this one (0: none). */
  tokensThrough(dataStep: number): number;
  /** The lines of the training file, from 1, that a micro-batch of a step, or a phase, was made of. */
  linesOf(step: number, index: number): readonly number[];
  /** What step 0 is, where the job trains on from an earlier one's adapter; null or left out: what the seed makes. */
  readonly initial?: InitialState | null;
  /** How data steps are dealt to replicas; null or left out: a step is one data step. */
  readonly local?: LocalPlan | null;
}

/** A micro-batch, or with local steps a phase, that is left out of its step. */
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
  /** With local steps: inner steps of its longest phase, and how far the data is. */
  readonly local?: {
    readonly innerSteps: number;
    readonly dataStep: number;
    readonly totalDataSteps: number;
  };
  /** All tokens that went through the model in this step, and those that counted in the loss. */
  readonly tokenCount: number;
  readonly targetCount: number;
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

export interface CheckpointFile {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
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

/** Why a worker gets no work. */
export interface WorkerQuarantine {
  readonly worker: string;
  /** One sentence each, oldest first. */
  readonly reasons: readonly string[];
  /** In milliseconds since 1970. */
  readonly since: number;
  /** The job in which it was found out. */
  readonly jobId: string;
  /** `jobEnds`: it was to blame for too much in this job. `reinstated`: its bits are wrong, and somebody has to look at it. */
  readonly until: "jobEnds" | "reinstated";
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

/** A checkpoint that is being written now. */
export interface CheckpointOrder {
  readonly step: number;
  /** The one worker whose files are taken. */
  readonly writer: string;
  readonly savesState: boolean;
  readonly layout: {
    readonly tensorCount: number;
    readonly elementCount: number;
    readonly parameterCount: number;
  };
}

export interface Fleet {
  /** What the job waits for; null where it is in no checkpoint, and nobody's files are taken. */
  checkpointOrder(jobId: string): CheckpointOrder | null;
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
