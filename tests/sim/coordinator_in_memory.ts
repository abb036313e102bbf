/** The real coordinator's fleet as a process that can be killed and started again, and what its disk keeps. */
import type { ArtifactStore } from "../../coordinator/storage/artifact_store.ts";
import type { JobObserver, StepReport, WorkerView } from "../../coordinator/fleet/fleet.ts";
import type { EvaluationOutcome } from "../../coordinator/planning/evaluation/selection.ts";
import type { PlannedJob } from "../../coordinator/planning/planned_job.ts";
import { createFleet, type RunningFleet } from "../../coordinator/fleet/over_bus/fleet_over_bus.ts";
import type { FleetOptions } from "../../coordinator/fleet/over_bus/fleet_context.ts";
import { createMemoryQuarantineStore } from "../../coordinator/access/quarantines.ts";
import type { MemoryBroker } from "../../shared/testing/memory_bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { Limits } from "../../shared/protocol/limits.ts";
import { pcg32, type Prng } from "../../shared/prng.ts";
import { createLink, type Link } from "./link.ts";

export interface CoordinatorInMemoryOptions {
  readonly broker: MemoryBroker;
  readonly clock: Clock;
  readonly random: Prng;
  readonly job: PlannedJob;
  readonly artifacts: ArtifactStore;
  readonly limits: Limits;
  readonly note: (who: string, what: string) => void;
  readonly layoutOf?: FleetOptions["layoutOf"];
  readonly onCommit?: (report: StepReport) => void;
  /** Called before the disk keeps it; never if the coordinator is dead by then. */
  readonly onCheckpoint?: (step: number) => void;
}

export interface CoordinatorInMemory {
  start(): void;
  /** As by SIGKILL. */
  kill(): void;
  /** As by SIGSTOP; the returned function is SIGCONT. Without effect while it is dead. */
  stall(): () => void;
  /** As a user does; without effect if it is so already. */
  pauseJob(): void;
  resumeJob(): void;
  readonly isAlive: boolean;
  readonly isDone: boolean;
  /** Why the job has failed; null if it has not. */
  readonly failure: unknown;
  /** All commits in order; a step committed again after the loss of all state is here again. */
  readonly steps: readonly StepReport[];
  /** In order of their ends; one whose record a death prevented is here again. */
  readonly evaluations: readonly EvaluationOutcome[];
  /** Empty while it is dead. */
  workerViews(): readonly WorkerView[];
  /** Without effect while it is dead. */
  reinstate(worker: string): void;
  /** Reports the stored adapter of a step as damaged; returns whether a worker is asked for it again. */
  checkpointDamaged(step: number): boolean;
}

/** What a disk keeps over the coordinator's restarts. */
interface Disk {
  step: number;
  readonly checkpointSteps: Set<number>;
  evaluations: EvaluationOutcome[];
}

export function createCoordinatorInMemory(options: CoordinatorInMemoryOptions): CoordinatorInMemory {
  return new Coordinator(options);
}

class Coordinator implements CoordinatorInMemory {
  readonly steps: StepReport[] = [];
  readonly evaluations: EvaluationOutcome[] = [];
  isDone = false;
  failure: unknown = null;
  readonly #options: CoordinatorInMemoryOptions;
  readonly #observer: JobObserver;
  readonly #quarantines = createMemoryQuarantineStore();
  #running: { readonly fleet: RunningFleet; readonly link: Link } | null = null;
  /** The newest training, which may have ended. */
  #training = { stop: new AbortController(), ended: Promise.resolve() };
  #isPaused = false;
  #starts = 0;
  #terms = 0;

  constructor(options: CoordinatorInMemoryOptions) {
    this.#options = options;
    this.#observer = observe(options, this.steps, this.evaluations, () => this.isAlive);
  }

  get isAlive(): boolean {
    return this.#running !== null;
  }

  start(): void {
    const { broker, clock, random, artifacts, limits, note, layoutOf } = this.#options;
    const link = createLink(clock, pcg32(random.uint32()));
    const fleet = createFleet({
      bus: link.wrap(broker.connect("coordinator")),
      clock: link.clock,
      coordinatorId: "c-1",
      term: ++this.#terms,
      artifacts,
      quarantines: this.#quarantines,
      limits,
      newStartId: () => `s-${++this.#starts}`,
      ...layoutOf === undefined ? {} : { layoutOf },
      newCheckKey: () => `k-${this.#starts}`,
      onDefect: (message, thrown) => note("coordinator", `${message}: ${messageOf(thrown)}`),
    });
    this.#running = { fleet, link };
    if (!this.#isPaused) this.#train(fleet, Promise.resolve());
  }

  kill(): void {
    if (this.#running === null) return;
    const { fleet, link } = this.#running;
    this.#running = null;
    link.kill();
    this.#training.stop.abort(new LoraFleetError("aborted", "killed"));
    fleet.close();
  }

  stall(): () => void {
    const link = this.#running?.link;
    link?.stall();
    this.#options.note("coordinator", "stands still");
    return () => link?.resume();
  }

  pauseJob(): void {
    this.#isPaused = true;
    this.#training.stop.abort(new LoraFleetError("aborted", "paused"));
    this.#options.note("coordinator", "the job is paused");
  }

  resumeJob(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#options.note("coordinator", "the job is resumed");
    if (this.#running !== null) this.#train(this.#running.fleet, this.#training.ended);
  }

  workerViews(): readonly WorkerView[] {
    return this.#running?.fleet.workers() ?? [];
  }

  reinstate(worker: string): void {
    this.#running?.fleet.reinstate(worker);
  }

  checkpointDamaged(step: number): boolean {
    return this.#running?.fleet.checkpointDamaged(this.#options.job.id, step) ?? false;
  }

  /** Trains as soon as an earlier training has ended. */
  #train(fleet: RunningFleet, before: Promise<void>): void {
    const stop = new AbortController();
    const work = async () => {
      await before;
      try {
        stop.signal.throwIfAborted();
        await fleet.train(this.#options.job, this.#observer, stop.signal);
        if (!stop.signal.aborted) this.isDone = true;
      } catch (thrown) {
        if (!stop.signal.aborted) this.failure = thrown;
      }
    };
    this.#training = { stop, ended: work() };
  }
}

/** Keeps commits and checkpoints as a disk does, and notes events. */
function observe(
  { note, onCommit, onCheckpoint }: CoordinatorInMemoryOptions,
  steps: StepReport[],
  evaluations: EvaluationOutcome[],
  isAlive: () => boolean,
): JobObserver {
  const disk: Disk = { step: 0, checkpointSteps: new Set(), evaluations: [] };
  return {
    starting(committedStep) {
      note("coordinator", `starts after step ${committedStep}`);
      disk.step = Math.min(disk.step, committedStep);
      disk.evaluations = disk.evaluations.filter(({ step }) => step <= committedStep);
      if (committedStep === 0) disk.checkpointSteps.clear();
      const { step, checkpointSteps, evaluations } = disk;
      return Promise.resolve({ step, checkpointSteps: [...checkpointSteps], evaluations });
    },
    microBatchExcluded: (step, { index, workers }) =>
      note("event", `excluded: micro-batch ${index} of step ${step} by ${workers.join(", ")}`),
    event: (level, message) => note("event", `${level}: ${message}`),
    stepCommitted(report) {
      disk.step = report.step;
      steps.push(report);
      note("coordinator", `step ${report.step} is committed: ${report.digest.slice(0, 8)}`);
      onCommit?.(report);
      return Promise.resolve();
    },
    evaluated(outcome) {
      if (!isAlive()) return Promise.resolve();
      disk.evaluations.push(outcome);
      evaluations.push(outcome);
      note("coordinator", `step ${outcome.step} is evaluated: ${outcome.loss}`);
      return Promise.resolve();
    },
    checkpointWritten(step) {
      onCheckpoint?.(step);
      if (isAlive()) disk.checkpointSteps.add(step);
      return Promise.resolve();
    },
  };
}
