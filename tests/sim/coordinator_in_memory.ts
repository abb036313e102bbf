/** The real coordinator's fleet in a process of its own that can be killed and started again, and what a disk remembers of it. */
import type { ArtifactStore } from "../../coordinator/storage/artifact_store.ts";
import type { JobObserver, StepReport, WorkerView } from "../../coordinator/fleet/fleet.ts";
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
  /** Told before it is remembered: not at all where the coordinator is killed by then. */
  readonly onCheckpoint?: (step: number) => void;
}

export interface CoordinatorInMemory {
  start(): void;
  /** It dies without a word. */
  kill(): void;
  /** It stands still, as a process that is stopped; the result makes it go on. Without effect while it is dead. */
  stall(): () => void;
  /** Its user pauses the job, or has it go on; without effect where that is so already. */
  pauseJob(): void;
  resumeJob(): void;
  readonly isAlive: boolean;
  readonly isDone: boolean;
  /** Why the job cannot be done; null while it can. */
  readonly failure: unknown;
  /** What was committed, in order; a step that is committed again after the loss of all state stands here again. */
  readonly steps: readonly StepReport[];
  /** Empty while it is dead. */
  workerViews(): readonly WorkerView[];
  /** Without effect while it is dead. */
  reinstate(worker: string): void;
  /** The stored adapter of this step is found damaged; whether a worker is asked for it again. */
  checkpointDamaged(step: number): boolean;
}

export function createCoordinatorInMemory(options: CoordinatorInMemoryOptions): CoordinatorInMemory {
  const { broker, clock, random, job, artifacts, limits, note } = options;
  const steps: StepReport[] = [];
  /** What a disk remembers over the coordinator's restarts. */
  const told = { step: 0, checkpointSteps: new Set<number>() };
  let running: { readonly fleet: RunningFleet; readonly link: Link } | null = null;
  /** Of the newest training, which may have ended. */
  let training = { stop: new AbortController(), ended: Promise.resolve() };
  let isPaused = false;
  const quarantines = createMemoryQuarantineStore();
  let starts = 0;
  let terms = 0;
  let isDone = false;
  let failure: unknown = null;

  const observer: JobObserver = {
    starting(committedStep) {
      note("coordinator", `starts after step ${committedStep}`);
      told.step = Math.min(told.step, committedStep);
      if (committedStep === 0) told.checkpointSteps.clear();
      return Promise.resolve({ step: told.step, checkpointSteps: [...told.checkpointSteps] });
    },
    microBatchExcluded: (step, { index, workers }) =>
      note("event", `excluded: micro-batch ${index} of step ${step} by ${workers.join(", ")}`),
    event: (level, message) => note("event", `${level}: ${message}`),
    stepCommitted(report) {
      told.step = report.step;
      steps.push(report);
      note("coordinator", `step ${report.step} is committed: ${report.digest.slice(0, 8)}`);
      options.onCommit?.(report);
      return Promise.resolve();
    },
    checkpointWritten(step) {
      options.onCheckpoint?.(step);
      if (running !== null) told.checkpointSteps.add(step);
      return Promise.resolve();
    },
  };

  function start(): void {
    const link = createLink(clock, pcg32(random.uint32()));
    const fleet = createFleet({
      bus: link.wrap(broker.connect("coordinator")),
      clock: link.clock,
      coordinatorId: "c-1",
      term: ++terms,
      artifacts,
      quarantines,
      limits,
      newStartId: () => `s-${++starts}`,
      ...options.layoutOf === undefined ? {} : { layoutOf: options.layoutOf },
      newCheckKey: () => `k-${starts}`,
      onDefect: (message, thrown) => note("coordinator", `${message}: ${messageOf(thrown)}`),
    });
    running = { fleet, link };
    if (!isPaused) train(fleet, Promise.resolve());
  }

  /** As soon as an earlier training has ended. */
  function train(fleet: RunningFleet, before: Promise<void>): void {
    const stop = new AbortController();
    const work = async () => {
      await before;
      try {
        stop.signal.throwIfAborted();
        await fleet.train(job, observer, stop.signal);
        if (!stop.signal.aborted) isDone = true;
      } catch (thrown) {
        if (!stop.signal.aborted) failure = thrown;
      }
    };
    training = { stop, ended: work() };
  }

  function stall(): () => void {
    const link = running?.link;
    link?.stall();
    note("coordinator", "stands still");
    return () => link?.resume();
  }

  function pauseJob(): void {
    isPaused = true;
    training.stop.abort(new LoraFleetError("aborted", "paused"));
    note("coordinator", "the job is paused");
  }

  function resumeJob(): void {
    if (!isPaused) return;
    isPaused = false;
    note("coordinator", "the job is resumed");
    if (running !== null) train(running.fleet, training.ended);
  }

  function kill(): void {
    if (running === null) return;
    const { fleet, link } = running;
    running = null;
    link.kill();
    training.stop.abort(new LoraFleetError("aborted", "killed"));
    fleet.close();
  }

  return {
    start,
    kill,
    stall,
    pauseJob,
    resumeJob,
    get isAlive() {
      return running !== null;
    },
    get isDone() {
      return isDone;
    },
    get failure() {
      return failure;
    },
    steps,
    workerViews: () => running?.fleet.workers() ?? [],
    reinstate: (worker) => void running?.fleet.reinstate(worker),
    checkpointDamaged: (step) => running?.fleet.checkpointDamaged(job.id, step) ?? false,
  };
}
