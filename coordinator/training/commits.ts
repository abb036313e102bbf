/** After a commit: its checkpoint if one is due, then the next step, or the end of the job. */
import { decodeFloats } from "../../shared/protocol/messages_codec.ts";
import type { CommitEntry } from "../../shared/protocol/messages_coordinator.ts";
import { chooseCheckpointWriter } from "./checkpoints.ts";
import { announced, type Decision, unchanged } from "./decision.ts";
import type { StepEffect } from "./state/effects.ts";
import { firstExponents } from "./state/exponents.ts";
import type { StepContext } from "./state/plan.ts";
import { NEW_STEP, NO_CHECKPOINT_FAILURES, type Training } from "./state/training.ts";

/** The pending commit is in the log. */
export function decideStored(context: StepContext, training: Training, sequence: number): Decision {
  const { plan, now } = context;
  const entry = training.pending;
  if (training.phase !== "commit" || entry === null) return unchanged(training, "no commit was on its way");
  const committed: Training = {
    ...training,
    ...{ committed: entry, sequence, pending: null, failedAudits: 0, notWaitedFor: new Set() },
    holders: new Set(training.members.map(({ incarnation }) => incarnation)),
  };
  if (entry.step === 0) {
    return announced(committed, { phase: "waiting", since: now }, "the initial adapter is agreed on");
  }
  const seconds = (now - training.stepStartedAt) / 1000;
  const attemptSeconds = (now - training.attemptStartedAt) / 1000;
  const effects: StepEffect[] = [{ type: "committed", entry, seconds, attemptSeconds }];
  if (!plan.checkpointSteps.includes(entry.step)) return nextStep(context, committed, effects);
  const begun = { ...committed, ...NO_CHECKPOINT_FAILURES, notBefore: now };
  return chooseCheckpointWriter(begun, effects, now);
}

/**
 * Continues after the newest commit of a log that an earlier run wrote.
 * @param fresh the training of a start from the beginning
 * @param stored whether that step's adapter (if a checkpoint is due) and its training state are stored
 */
export function resume(
  context: StepContext,
  fresh: Training,
  { entry, sequence }: { readonly sequence: number; readonly entry: CommitEntry },
  stored: { readonly adapter: boolean; readonly state: boolean },
): Decision {
  const training: Training = {
    ...{ ...fresh, committed: entry, sequence, step: Math.max(1, entry.step) },
    storedStep: stored.state ? entry.step : null,
  };
  if (entry.step === 0) return unchanged(training, "continues after step 0");
  if (context.plan.checkpointSteps.includes(entry.step) && !stored.adapter) {
    return chooseCheckpointWriter(training, [], context.now);
  }
  return nextStep(context, training, []);
}

/** The next step, before its first attempt, or the end of the job. */
export function nextStep(
  { plan, now, limits }: StepContext,
  training: Training,
  effects: readonly StepEffect[],
): Decision {
  const entry = training.committed!;
  if (entry.step >= plan.totalSteps) {
    const end = { phase: "done", since: now, members: [], weights: [] } as const;
    return announced(training, end, "the last step is committed", [...effects, { type: "done" }]);
  }
  const step = entry.step + 1;
  const maxAbs = decodeFloats(entry.maxAbs);
  const exponents = firstExponents(plan, step, maxAbs, maxAbs.length, limits);
  const change = { ...NEW_STEP, step, since: now, stepStartedAt: now, notBefore: now, exponents };
  return announced(training, change, `step ${entry.step} is committed`, effects);
}
