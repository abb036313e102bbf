/**
 * A loaded job under one membership: listens to the state of the step and does what is missing, until it is told to stop or the
 * job is over. The loaded model and the committed state outlive it.
 */
import { crc32 } from "node:zlib";
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { messageOf, quote } from "../../shared/errors.ts";
import type { Limits } from "../../shared/protocol/limits.ts";
import {
  type CheckpointReport,
  checkpointReportSchema,
  type Committed,
  encodeMessage,
  type JobAnnouncement,
  type MemberRef,
  receivedSchema,
  type StepState,
} from "../../shared/protocol/messages.ts";
import { checkpointSubject } from "../../shared/protocol/subjects.ts";
import { askUntilAnswered } from "../async/ask.ts";
import type { Engine } from "../engine/engine.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import type { Log } from "../../shared/log.ts";
import { fetchState } from "../recovery/fetch_state.ts";
import { serveState } from "../recovery/serve_state.ts";
import { holdersFor, mayLeave, nextAction, sameCommit } from "../step/step_action.ts";
import { listenToStates } from "../step/step_states.ts";
import { createTrainStep, type TrainStepOptions } from "../step/train_step.ts";

/** One membership: who the worker is, and its connections. */
export interface Membership {
  readonly self: MemberRef;
  readonly control: Bus;
  readonly gradients: Bus;
}

/** Writes the engine's adapter and uploads it. */
export type WriteCheckpoint = (
  engine: Pick<Engine, "writeAdapter" | "writeState">,
  job: JobAnnouncement,
  step: number,
  signal: AbortSignal,
) => Promise<Extract<CheckpointReport["outcome"], { type: "written" }>["files"]>;

export interface JobSessionOptions extends
  Pick<
    TrainStepOptions,
    "held" | "onHeld" | "onBusy" | "onComputed" | "gradientBytesBefore"
  > {
  readonly job: JobAnnouncement;
  readonly layout: GradientLayout;
  readonly engine: Engine;
  readonly membership: Membership;
  readonly writeCheckpoint: WriteCheckpoint;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  /** Told at every announced state, once what is heard is also acted on. */
  readonly onProgress: () => void;
}

export interface JobSession {
  /** Resolves when everything that others send here arrives. */
  readonly ready: Promise<void>;
  /** `over`: the job is. Rejects where the engine's state is not to be trusted any more. */
  readonly ended: Promise<"over" | "stopped">;
  readonly gradientBytesSent: number;
  readonly linkBytesPerSecond: number | null;
  /** Whether nobody misses the worker: it is in no attempt, and not the only one to have what others still need. */
  mayLeave(hasOthers: boolean): boolean;
  /** Takes no further part from now on; `ended` resolves when the engine has nothing more to do. */
  stop(): void;
}

/** How often a worker's log tells how far the job is. */
const COMMIT_LOG_INTERVAL_MS = 10_000;

export function startJobSession(options: JobSessionOptions): JobSession {
  const { job, layout, engine, membership, clock, limits, log } = options;
  const { self, control, gradients } = membership;
  const { jobId, startId } = job;
  const states = listenToStates(control, job, log);
  const train = createTrainStep({ ...options, self, control, gradients, states });
  let isImporting = false;
  let loggedCommitAt = -Infinity;
  const server = serveState({
    bus: gradients,
    clock,
    jobId,
    startId,
    self: self.worker,
    elementCount: layout.elementCount,
    exportState: () => engine.exportState(),
    committed: () => isImporting ? null : train.own.committed,
    log,
  });

  async function run(): Promise<"over" | "stopped"> {
    try {
      // What an earlier membership has left in the sums counts no more; an update of it may be committed by now.
      if (train.own.pending === null) await train.rollback();
      else await engine.takeSums();
      for (;;) {
        const state = states.newest;
        if (state === null) {
          await states.after(null);
        } else {
          const { action, reason } = nextAction(state, train.own);
          if (action === "end") {
            log("info", reason);
            return "over";
          }
          await act(action, reason, state);
          options.onProgress();
        }
      }
    } catch (thrown) {
      if (states.closed.aborted) return "stopped";
      throw thrown;
    } finally {
      states.close();
      train.close();
      server.close();
    }
  }

  async function act(action: ReturnType<typeof nextAction>["action"], reason: string, state: StepState) {
    // Micro-batches are held only by who computes them; commit and rollback may be on the way to the next attempt.
    if (action !== "compute" && action !== "commit" && action !== "rollback") train.letGo();
    switch (action) {
      case "commit":
        await train.commit();
        return logCommit(reason);
      case "rollback":
        await train.rollback();
        // The coordinator's events tell the user why; here it is only what follows from that.
        return log("debug", reason);
      case "compute":
        return await train.computeNext(state);
      case "reduce":
        return await train.reduce(state);
      case "recover":
        log("info", reason);
        return await recover(state);
      case "checkpoint":
        return await writeCheckpoint(state);
      default:
        return await states.after(state);
    }
  }

  /** A line for each step of a small model would bury everything else. */
  function logCommit(reason: string): void {
    const isDue = clock.now() - loggedCommitAt >= COMMIT_LOG_INTERVAL_MS;
    if (isDue) loggedCommitAt = clock.now();
    log(isDue ? "info" : "debug", reason);
  }

  /** Tries one holder after the other, beginning with another one on every worker. */
  async function recover(state: StepState): Promise<void> {
    const committed = state.committed!;
    const watch = states.watch((newer) => sameCommit(newer.committed, committed));
    const holders = holdersFor(state, self);
    const first = crc32(self.worker) % holders.length;
    try {
      for (const holder of [...holders.slice(first), ...holders.slice(0, first)]) {
        // Gone holders are not listed any more: the next one is asked at once.
        const listed = states.watch((newer) =>
          sameCommit(newer.committed, committed) && newer.holders.includes(holder)
        );
        try {
          if (await recoverFrom(holder, committed, listed.signal)) return;
        } catch (thrown) {
          if (!listed.signal.aborted || watch.signal.aborted) throw thrown;
        } finally {
          listed.end();
        }
      }
      await clock.sleep(limits.retryIntervalMs, watch.signal);
    } catch (thrown) {
      if (!watch.signal.aborted) throw thrown;
      states.closed.throwIfAborted();
    } finally {
      watch.end();
    }
  }

  async function recoverFrom(holder: string, committed: Committed, signal: AbortSignal): Promise<boolean> {
    const startedAt = clock.now();
    const { elementCount } = layout;
    const request = {
      bus: gradients,
      clock,
      limits,
      jobId,
      startId,
      elementCount,
      committed,
      holder,
      signal,
    };
    let fetched;
    try {
      fetched = await fetchState(request);
    } catch (thrown) {
      signal.throwIfAborted();
      log("warn", messageOf(thrown));
      return false;
    }
    isImporting = true;
    const { digest } = await engine.importState(fetched);
    isImporting = false;
    // Whatever was loaded, that is what the engine holds now.
    const held = { step: committed.step, digest };
    train.recovered(held);
    const isRight = digest === committed.digest;
    log(
      isRight ? "info" : "warn",
      isRight
        ? `the state of step ${committed.step} is loaded from ${holder} in ${
          Math.round(clock.now() - startedAt)
        } ms`
        : `${quote(holder)} gave a state of step ${committed.step} with the digest ${digest}, where ` +
          `${committed.digest} is committed`,
    );
    return isRight;
  }

  async function writeCheckpoint(state: StepState): Promise<void> {
    const { step } = state.committed!;
    const watch = states.watch((newer) =>
      newer.phase === "checkpoint" && newer.committed?.step === step && newer.checkpointWriter === self.worker
    );
    try {
      const outcome = await outcomeOfCheckpoint(step, watch.signal);
      const report = encodeMessage(checkpointReportSchema, { ...self, step, outcome });
      await askUntilAnswered({
        bus: control,
        clock,
        subject: checkpointSubject(jobId, self.worker),
        data: report,
        answer: receivedSchema,
        timeoutMs: limits.requestTimeoutMs,
        signal: watch.signal,
      });
      if (outcome.type === "written") train.checkpointReported(state, step);
      else await states.after(state);
    } catch (thrown) {
      if (!watch.signal.aborted) throw thrown;
      states.closed.throwIfAborted();
    } finally {
      watch.end();
    }
  }

  async function outcomeOfCheckpoint(
    step: number,
    signal: AbortSignal,
  ): Promise<CheckpointReport["outcome"]> {
    try {
      const files = await options.writeCheckpoint(engine, job, step, signal);
      log("info", `the adapter of step ${step} is stored`);
      return { type: "written", files };
    } catch (thrown) {
      signal.throwIfAborted();
      log("error", `the adapter of step ${step} is not stored: ${messageOf(thrown)}`);
      return { type: "failed", reason: messageOf(thrown).slice(0, 4000) };
    }
  }

  return {
    ready: Promise.all([control.flush(), gradients.flush()]).then(() => {}),
    ended: run(),
    get gradientBytesSent() {
      return train.gradientBytesSent;
    },
    get linkBytesPerSecond() {
      return train.linkBytesPerSecond;
    },
    mayLeave: (hasOthers) => mayLeave(states.newest, self, { hasOthers, isServing: server.isServing }),
    stop: () => states.close(),
  };
}
