/** Members that abandon an attempt name suspects. They may accuse themselves; others need a second accuser (accusations.ts). */
import type { AttemptFailure } from "../../shared/protocol/messages_worker.ts";
import { memberAmong } from "../../shared/protocol/sorted_members.ts";
import { accuse } from "./blame/accusations.ts";
import { abortAttempt, type Decision, isOfAttempt, unchanged } from "./decision.ts";
import type { StepContext } from "./state/plan.ts";
import type { Training } from "./state/training.ts";

export function decideFailure(context: StepContext, training: Training, report: AttemptFailure): Decision {
  const { limits } = context;
  const { worker, reason, suspects } = report;
  const isCurrent = isOfAttempt(training, report);
  const seen = isCurrent ? training : training.abandoned;
  const isKnown = seen !== null && report.term === training.term && report.step === seen.step &&
    report.attempt === seen.attempt && memberAmong(seen.members, report) !== undefined;
  if (!isKnown) return unchanged(training, `${worker} failed at an attempt that is over`);
  const isConnected = training.blackoutMs < limits.reconnectGraceMs;
  const { training: accused, effects } = isConnected
    ? accuse(training, seen, worker, suspects, reason, limits)
    : { training, effects: [] };
  if (!isCurrent) return unchanged(accused, `${worker} reports on an abandoned attempt`, effects);
  const own = suspects.includes(worker) ? [worker] : [];
  const decision = abortAttempt(context, accused, `${worker}: ${reason}`, own);
  return { ...decision, effects: [...decision.effects, ...effects] };
}
