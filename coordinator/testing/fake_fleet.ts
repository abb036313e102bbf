/** A fleet without workers, for tests of everything around it. */
import { LoraFleetError } from "../../shared/errors.ts";
import type { JobEnd } from "../../shared/protocol/messages_coordinator.ts";
import type { ExcludedMicroBatch, Fleet, JobObserver, WorkerView } from "../fleet/fleet.ts";
import type { CheckpointFile } from "../storage/checkpoint_file.ts";
import type { CheckpointAssignment } from "../training/upload_decision.ts";
import type { EvaluationOutcome } from "../planning/evaluation/selection.ts";
import { NO_SELECTION, selectionRuleOf, withEvaluation } from "../planning/evaluation/selection.ts";
import type { PlannedJob } from "../planning/planned_job.ts";
import type { ArtifactStore } from "../storage/artifact_store.ts";
import { sha256Of } from "../storage/streamed_file.ts";

const FAKE_WORKER: WorkerView = {
  id: "w1",
  incarnation: "w1-1",
  name: "pc",
  gpu: "a GPU",
  protocolVersion: 7,
  state: "ready",
  jobId: null,
  joinedAt: 1_700_000_000_000,
  lastHeartbeatAt: 1_700_000_001_500,
  maxHeartbeatGapMs: 12.5,
  microBatchesDone: 7,
  tokensPerSecond: 1000,
  gradientBytesSent: 4096,
  gpuResets: 1,
  gpuMemory: { plannedBytes: 3 * 2 ** 30, budgetBytes: 8 * 2 ** 30 },
  reason: null,
  strikes: [],
  accusations: [],
  quarantine: null,
};

/** Commits each step as soon as `beforeStep` resolves. */
export class FakeFleet implements Fleet {
  readonly trained: string[] = [];
  /** How each job ended, as reported to its workers. */
  readonly ends = new Map<string, JobEnd>();
  beforeStep: (job: PlannedJob, step: number, signal: AbortSignal) => Promise<void> = () => Promise.resolve();
  lossOf: (step: number) => number = (step) => 2 / step;
  /** Its one worker's. */
  quarantine: WorkerView["quarantine"] = null;
  /** One micro-batch to exclude, by step. */
  readonly excluded = new Map<number, ExcludedMicroBatch>();

  /** The files of each checkpoint. */
  adapterFiles = (step: number): readonly (readonly [name: string, bytes: Uint8Array])[] => [
    ["adapter_config.json", new TextEncoder().encode(`{"step":${step}}`)],
    ["adapter_model.safetensors", new TextEncoder().encode("weights".repeat(step))],
  ];

  /** The checkpoint that workers may upload. */
  assignment: CheckpointAssignment | null = null;
  /** Steps whose adapter was requested again. */
  readonly damaged: number[] = [];
  #selection = NO_SELECTION;
  readonly #artifacts: ArtifactStore;

  constructor(artifacts: ArtifactStore) {
    this.#artifacts = artifacts;
  }

  checkpointAssignment(): CheckpointAssignment | null {
    return this.assignment;
  }

  checkpointDamaged(_jobId: string, step: number): boolean {
    this.damaged.push(step);
    return false;
  }

  workers(): readonly WorkerView[] {
    return [{ ...FAKE_WORKER, quarantine: this.quarantine }];
  }

  /** Who could measure merges: nobody, unless a test says so. */
  measuring: ReturnType<Fleet["measurers"]> = { isTraining: false, workers: [] };
  /** Requests to measure, repeated ones too. */
  readonly asked: Parameters<Fleet["askToMeasure"]>[0][] = [];

  measurers(): ReturnType<Fleet["measurers"]> {
    return this.measuring;
  }

  askToMeasure(measurement: Parameters<Fleet["askToMeasure"]>[0]): void {
    this.asked.push(measurement);
  }

  reinstate(worker: string): void {
    if (this.quarantine?.worker !== worker) {
      throw new LoraFleetError("not_found", "not in quarantine", { param: "id" });
    }
    this.quarantine = null;
  }

  async train(job: PlannedJob, observer: JobObserver, signal: AbortSignal): Promise<void> {
    this.trained.push(job.id);
    await observer.starting(0);
    this.#selection = NO_SELECTION;
    if (job.evaluation?.steps.includes(0)) await observer.evaluated(this.#evaluate(job, 0));
    observer.event("info", "2 workers have joined.", { workers: 2 });
    for (let step = 1; step <= job.totalSteps; step++) {
      // A test's own listener hears nothing of what was aborted before.
      signal.throwIfAborted();
      await this.beforeStep(job, step, signal);
      signal.throwIfAborted();
      const excluded = this.excluded.get(step);
      if (excluded !== undefined) observer.microBatchExcluded(step, excluded);
      await observer.stepCommitted({
        step,
        epoch: step / job.totalSteps,
        loss: this.lossOf(step),
        learningRate: 1e-4,
        gradientNorm: 0.5,
        tokenCount: 100,
        labelCount: 60,
        maxAbs: "",
        tokenAccuracy: 1 - 1 / step,
        workerCount: 2,
        attempt: 1,
        seconds: 0.5,
        attemptSeconds: 0.5,
        gradientBytesSent: 2048,
        digest: `digest-${step}`,
        excluded: excluded === undefined ? [] : [excluded],
        audits: { passed: step, failed: 0, skipped: 0 },
      });
      if (job.evaluation?.steps.includes(step)) await observer.evaluated(this.#evaluate(job, step));
      if (job.checkpointSteps.includes(step)) {
        await observer.checkpointWritten(step, await this.#upload(job.id, step));
      }
    }
  }

  forget(jobId: string, end: JobEnd): Promise<void> {
    this.ends.set(jobId, end);
    return Promise.resolve();
  }

  /** The loss falls until the middle of the job and rises again. */
  #evaluate({ totalSteps, spec }: PlannedJob, step: number): EvaluationOutcome {
    const outcome = { step, loss: 1 + Math.abs(step - totalSteps / 2), accuracy: 1 / (1 + step) };
    this.#selection = withEvaluation(selectionRuleOf(spec.training), this.#selection, outcome);
    return { ...outcome, labelCount: 12, best: this.#selection.best, seconds: 0.25, workerCount: 2 };
  }

  async #upload(jobId: string, step: number): Promise<CheckpointFile[]> {
    const stored = await Promise.all(
      this.adapterFiles(step).map(async ([name, bytes]) => {
        const upload = { step, writer: "w1", name, sha256: sha256Of(bytes), maxBytes: 2 ** 20 };
        return await this.#artifacts.put(jobId, upload, ReadableStream.from([bytes]));
      }),
    );
    const accepted = await this.#artifacts.accept(jobId, step, "w1", stored, { digest: "", layout: null });
    if ("fault" in accepted) throw new Error(accepted.fault);
    return [...accepted.files];
  }
}
