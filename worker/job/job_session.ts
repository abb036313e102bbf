import type { Bus } from "../../shared/bus/bus.ts";
import type { MemberRef, StepState } from "../../shared/protocol/messages_coordinator.ts";
import type { Committed } from "../../shared/protocol/messages_worker.ts";
import type { TrainingState } from "../optimizer/adamw_state.ts";
import { recover } from "../recovery/recover.ts";
import { serveState, type StateServer } from "../recovery/serve_state.ts";
import { type Decision, mayLeave, nextAction } from "../step/step_action.ts";
import type { TrainStepOptions } from "../step/step_context.ts";
import { listenToStates, type StepStates } from "../step/step_states.ts";
import { TrainStep } from "../step/train_step.ts";
import { flushed } from "./flushed.ts";
import { Outlook } from "./job_outlook.ts";
import { storeCheckpoint, type WriteCheckpoint } from "./store_checkpoint.ts";

/** One membership: who the worker is, and its connections. */
export interface Membership {
  readonly self: MemberRef;
  readonly control: Bus;
  readonly gradients: Bus;
}

export interface JobSessionOptions extends Omit<TrainStepOptions, keyof Membership | "states"> {
  readonly membership: Membership;
  readonly writeCheckpoint: WriteCheckpoint;
  /** Called after each action: the worker may have become dispensable. */
  readonly onProgress: () => void;
}

/** Commits in between are logged as `debug`: with a small model they would bury everything else. */
const COMMIT_LOG_INTERVAL_MS = 10_000;

/**
 * A loaded job under one membership: follows the announced state of the step and does what is missing, until it is stopped or the
 * job is over. The loaded model and the committed state outlive it.
 */
export class JobSession {
  /** Resolves once everything that others send here arrives. */
  readonly ready: Promise<void>;
  /** Resolves to `over` at the end of the job. Rejects if the engine's state can no longer be trusted. */
  readonly ended: Promise<"over" | "stopped">;
  readonly #options: JobSessionOptions & TrainStepOptions;
  readonly #train: TrainStep;
  readonly #states: StepStates;
  readonly #server: StateServer;
  /** True while the engine's state is between two commits. */
  #isImporting = false;
  #loggedCommitAt = -Infinity;
  readonly #outlook: Outlook;

  constructor(options: JobSessionOptions) {
    const { membership, job, log, engine } = options;
    this.#outlook = new Outlook(job);
    this.#states = listenToStates(membership.control, job, log);
    this.#options = { ...options, ...membership, states: this.#states };
    this.#train = new TrainStep(this.#options);
    this.#server = serveState({
      ...this.#peerOptions(),
      self: membership.self.worker,
      exportState: () => engine.exportState(),
      committed: () => this.#isImporting ? null : this.#train.own.committed,
    });
    const { control, gradients } = membership;
    this.ready = flushed(
      [control, gradients],
      options.clock,
      options.limits.retryIntervalMs,
      this.#states.closed,
    );
    this.ended = this.#run();
  }

  /** Whether this worker is dispensable: in no attempt, and not the only holder of what others still need. */
  mayLeave(hasOthers: boolean): boolean {
    const { isServing } = this.#server;
    return mayLeave(this.#states.newest, this.#train.own, { hasOthers, isServing });
  }

  /** Takes no further part; `ended` resolves when the engine is idle. */
  stop(): void {
    this.#states.close();
  }

  async #run(): Promise<"over" | "stopped"> {
    const { engine, log, onProgress } = this.#options;
    const [train, states] = [this.#train, this.#states];
    try {
      // Drop the sums of an earlier membership, but keep its update: it may be committed by now.
      if (train.own.pending === null) await train.rollback();
      else await engine.dropSums();
      for (;;) {
        const state = states.newest;
        if (state === null) {
          await states.after(null);
          continue;
        }
        const decision = nextAction(state, train.own);
        if (decision.action === "end") {
          log("info", decision.reason);
          return "over";
        }
        await this.#act(decision, state);
        onProgress();
      }
    } catch (thrown) {
      if (states.closed.aborted) return "stopped";
      throw thrown;
    } finally {
      states.close();
      train.close();
      this.#server.close();
    }
  }

  async #act({ action, reason }: Decision, state: StepState): Promise<void> {
    const { log, self } = this.#options;
    const [train, states] = [this.#train, this.#states];
    // Only a computing worker holds micro-batches; commit and rollback may lead straight to the next attempt.
    const mayHold = action === "compute" || action === "evaluate" || action === "commit" ||
      action === "rollback";
    if (!mayHold) train.letGo();
    switch (action) {
      case "commit":
        await train.commit();
        return this.#logCommit(reason, train.own.committed.step);
      case "rollback":
        await train.rollback();
        // The coordinator's events explain it to the user.
        return log("debug", reason);
      case "compute":
        return await train.computeNext(state);
      case "evaluate":
        return await train.evaluateNext(state);
      case "reduce":
        return await train.reduce(state);
      case "recover": {
        log("info", reason);
        const importState = (committed: Committed, fetched: TrainingState) =>
          this.#importState(committed, fetched);
        return await recover({ ...this.#peerOptions(), self, states, importState }, state);
      }
      case "checkpoint":
        if (await storeCheckpoint(this.#options, state)) {
          train.checkpointReported(state, state.committed!.step);
        }
        return;
      default:
        return await states.after(state);
    }
  }

  async #importState({ step, digest: expected }: Committed, fetched: TrainingState): Promise<string> {
    this.#isImporting = true;
    const { digest } = await this.#options.engine.importState(fetched, expected);
    this.#isImporting = false;
    // Even if the digest is wrong, the engine holds this state now.
    this.#train.recovered({ step, digest });
    return digest;
  }

  #logCommit(reason: string, step: number): void {
    const { clock, log } = this.#options;
    const rest = this.#outlook.committed(step, clock.now());
    const isDue = clock.now() - this.#loggedCommitAt >= COMMIT_LOG_INTERVAL_MS;
    if (isDue) this.#loggedCommitAt = clock.now();
    log(isDue ? "info" : "debug", reason + rest);
  }

  #peerOptions() {
    const { gradients: bus, job: { jobId, startId }, layout: { elementCount }, clock, limits, log } =
      this.#options;
    return { bus, jobId, startId, elementCount, clock, limits, log };
  }
}
