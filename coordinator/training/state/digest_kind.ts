/**
 * Which digest a step's updates get (decision 0049). Under a SHA-256, workers load the state from each other and checkpoints are
 * checked; a fingerprint takes a tenth of its time, and tells replicas apart that differ. So a step gets a fingerprint if nobody
 * is known to need its state and a SHA-256 would cost a part of the step that is worth saving.
 */
import { type DigestKind, isFingerprint } from "../../../shared/protocol/state/state_digest.ts";
import {
  FIRST_VERSION_WITH_FINGERPRINTS,
  PROTOCOL_VERSION,
} from "../../../shared/protocol/messages_worker.ts";
import type { CommitEntry } from "../../../shared/protocol/messages_coordinator.ts";
import type { FleetMember } from "./fleet_view.ts";
import type { StepContext } from "./plan.ts";
import { lastStepOf, type Training } from "./training.ts";

/** For the round that begins now. */
export function digestKindOf({ plan, now, limits }: StepContext, training: Training): DigestKind {
  const { step, layout, attemptStartedAt, blackoutMs } = training;
  const isKept = plan.checkpointSteps.includes(step) || step === lastStepOf(plan, training) ||
    plan.evaluation?.steps.includes(step) === true;
  // An inner loop takes minutes, and its engine computes this digest anyway.
  if (isKept || (plan.local ?? null) !== null) return "sha256";
  const { members, oldestProtocolVersion = PROTOCOL_VERSION } = training.fleet;
  if (oldestProtocolVersion < FIRST_VERSION_WITH_FINGERPRINTS) return "sha256";
  if (members.some((member) => mayNeedState(training, member))) return "sha256";
  const sha256Ms = (layout?.elementCount ?? 0) * limits.sha256MsPerElement;
  const gradientMs = now - attemptStartedAt - blackoutMs;
  return sha256Ms <= Math.max(limits.sha256FreeMs, gradientMs * limits.sha256ShareOfStep)
    ? "sha256"
    : "fingerprint";
}

/** Whether it loads the state soon, or leaves it to others. */
function mayNeedState({ holders }: Training, { incarnation, draining, job }: FleetMember): boolean {
  return draining || (!holders.has(incarnation) && job?.phase !== "failed");
}

/** Whether workers may load the state of this commit from its holders. */
export function isLoadable({ digest }: CommitEntry): boolean {
  return !isFingerprint(digest);
}
