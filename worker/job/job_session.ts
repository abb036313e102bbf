/**
 * A loaded job under one membership: follows the announced state of the step and does what is missing, until it is stopped or the
 * job is over. The loaded model and the committed state outlive it.
 */
import type { Bus } from "../../shared/bus/bus.ts";
import type { MemberRef, StepState } from "../../shared/protocol/messages_coordinator.ts";
import type { TrainingState } from "../optimizer/adamw_state.ts";
import { recover } from "../recovery/recover.ts";
import { serveState, type StateServer } from "../recovery/serve_state.ts";
import { type Decision, mayLeave, nextAction } from "../step/step_action.ts";
import type { TrainStepOptions } from "../step/step_context.ts";
import { listenToStates, type StepStates } from "../step/step_states.ts";
import { createTrainStep, type TrainStep } from "../step/train_step.ts";
import { flushed } from "./flushed.ts";
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

export interface JobSession {
  /** Resolves once everything that others send here arrives. */
  readonly ready: Promise<void>;
  /** `over`: the job is. Rejects if the engine's state is not to be trusted any more. */
  readonly ended: Promise<"over" | "stopped">;
  /** Whether this worker is dispensable: in no attempt, and not the only one to hold what others still need. */
  mayLeave(hasOthers: boolean): boolean;
  /** Takes no further part; `ended` resolves when the engine is idle. */
  stop(): void;
}

/** Commits in between are logged as `debug`: with a small model they would bury everything else. */
const COMMIT_LOG_INTERVAL_MS = 10_000;

export function startJobSession(options: JobSessionOptions): JobSession {
  const { membership: { self, control, gradients }, clock, limits } = options;
  const session = new Session(options);
  const { states, server } = session;
  return {
    ready: flushed([control, gradients], clock, limits.retryIntervalMs, states.closed),
    ended: session.run(),
    mayLeave: (hasOthers) => mayLeave(states.newest, self, { hasOthers, isServing: server.isServing }),
    stop: () => states.close(),
  };
}

class Session {
  readonly #options: JobSessionOptions & TrainStepOptions;
  readonly #train: TrainStep;
  readonly states: StepStates;
  readonly server: StateServer;
  /** The engine's state is between two commits. */
  #isImporting = false;
  #loggedCommitAt = -Infinity;

  constructor(options: JobSessionOptions) {
    const { membership, job, log, layout: { elementCount }, engine } = options;
    this.states = listenToStates(membership.control, job, log);
    this.#options = { ...options, ...membership, states: this.states };
    this.#train = createTrainStep(this.#options);
    this.server = serveState({
      ...this.#peerOptions(),
      self: membership.self.worker,
      elementCount,
      exportState: () => engine.exportState(),
      committed: () => this.#isImporting ? null : this.#train.own.committed,
    });
  }

  async run(): Promise<"over" | "stopped"> {
    const { engine, log, onProgress } = this.#options;
    const [train, states] = [this.#train, this.states];
    try {
      // Drop what an earlier membership left in the sums, but keep its update: it may be committed by now.
      if (train.own.pending === null) await train.rollback();
      else await engine.takeSums();
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
      this.server.close();
    }
  }

  async #act({ action, reason }: Decision, state: StepState): Promise<void> {
    const { log, self, layout: { elementCount }, limits } = this.#options;
    const [train, states] = [this.#train, this.states];
    // Only a computing worker holds micro-batches; commit and rollback may lead straight to the next attempt.
    if (action !== "compute" && action !== "commit" && action !== "rollback") train.letGo();
    switch (action) {
      case "commit":
        await train.commit();
        return this.#logCommit(reason);
      case "rollback":
        await train.rollback();
        // The coordinator's events explain it to the user.
        return log("debug", reason);
      case "compute":
        return await train.computeNext(state);
      case "reduce":
        return await train.reduce(state);
      case "recover": {
        log("info", reason);
        const importState = (step: number, fetched: TrainingState) => this.#importState(step, fetched);
        return await recover(
          { ...this.#peerOptions(), limits, self, states, elementCount, importState },
          state,
        );
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

  async #importState(step: number, fetched: TrainingState): Promise<string> {
    this.#isImporting = true;
    const { digest } = await this.#options.engine.importState(fetched);
    this.#isImporting = false;
    // Right or wrong, this is what the engine holds now.
    this.#train.recovered({ step, digest });
    return digest;
  }

  #logCommit(reason: string): void {
    const { clock, log } = this.#options;
    const isDue = clock.now() - this.#loggedCommitAt >= COMMIT_LOG_INTERVAL_MS;
    if (isDue) this.#loggedCommitAt = clock.now();
    log(isDue ? "info" : "debug", reason);
  }

  #peerOptions() {
    const { gradients: bus, clock, job: { jobId, startId }, log } = this.#options;
    return { bus, clock, jobId, startId, log };
  }
}
