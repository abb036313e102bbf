/** Runs a part of an attempt until it is no longer needed; reports a failure, with the workers to blame. */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { StepState } from "../../shared/protocol/messages_coordinator.ts";
import { RoundTimeout } from "../allreduce/round/round_timeout.ts";
import { attemptOf } from "./step_action.ts";
import type { StepContext } from "./step_context.ts";

/** Why an attempt cannot continue, and which workers are to blame. */
export class AttemptProblem extends LoraFleetError {
  readonly suspects: readonly string[];

  constructor(message: string, suspects: readonly string[]) {
    super("conflict", message);
    this.suspects = suspects;
  }
}

/**
 * Runs `part` with a signal that aborts at the first state for which `isWanted` is false. If the part fails before that, this
 * worker's share of the attempt is spent, and the coordinator learns why.
 */
export async function inAttempt(
  { mine, states, reports, self, log }: StepContext,
  state: StepState,
  isWanted: (newer: StepState) => boolean,
  part: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  mine.begin(attemptOf(state));
  const { signal, end } = states.watch(isWanted);
  try {
    await part(signal);
  } catch (thrown) {
    if (signal.aborted) return;
    mine.spend(state.generation);
    const reason = messageOf(thrown);
    log("warn", `step ${state.step} failed on this worker and is computed again: ${reason}`);
    await reports.failed(attemptOf(state), reason, suspectsOf(thrown, self.worker), signal).catch(
      (failed) => {
        if (!signal.aborted) throw failed;
      },
    );
  } finally {
    end();
  }
}

/** @returns ids of workers; empty if the failure is the same for all of them */
function suspectsOf(thrown: unknown, self: string): readonly string[] {
  if (thrown instanceof RoundTimeout || thrown instanceof AttemptProblem) return thrown.suspects;
  // A micro-batch that cannot be decoded is unreadable for every worker.
  if (thrown instanceof LoraFleetError && thrown.code === "corrupt") return [];
  // Neither a deadline nor a disagreement: this worker's own GPU, driver or program.
  return [self];
}
