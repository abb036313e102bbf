/**
 * A job's steps as pure decisions: (training, event) → (training, effects, reason). docs/protocol.md has the table of phases. Each
 * kind of event has its own file; `nextTransition` has what becomes due after any event.
 */
import { isJobEnd } from "../../shared/protocol/messages_coordinator.ts";
import { hasOpenAudits, settleAudits } from "./audits.ts";
import { reinstated } from "./blame/strikes.ts";
import { decideCheckpoint, decideDamaged } from "./checkpoint_reports.ts";
import { beginRound, decideClaim, endProbe } from "./claims.ts";
import { decideStored } from "./commits.ts";
import { decideTick } from "./deadlines.ts";
import { abortAttempt, announced, type Decision, failJob, unchanged } from "./decision.ts";
import { decideEvaluation, decideNotHandedOut } from "./evaluations.ts";
import { decideFailure } from "./failures.ts";
import { decideFleet } from "./fleet_change.ts";
import { settleNonFinite } from "./non_finite.ts";
import { regroup } from "./regroup.ts";
import type { StepContext } from "./state/plan.ts";
import type { StepEvent } from "./state/effects.ts";
import { isComplete } from "./state/ledger.ts";
import { afterBlackout, type Training } from "./state/training.ts";
import { decideUpdate } from "./updates.ts";
import { startAttempt } from "./waiting.ts";

/** Decides on an event and on everything due after it. An event of a different attempt, job or member changes nothing. */
export function decideStep(context: StepContext, training: Training, event: StepEvent): Decision {
  let decision = decideEvent(context, training, event);
  for (;;) {
    const next = nextTransition(context, training, decision.training);
    if (next === null) return decision;
    decision = { ...next, effects: [...decision.effects, ...next.effects] };
  }
}

/** What is due in this state; null if nothing is. */
function nextTransition(context: StepContext, before: Training, training: Training): Decision | null {
  const { phase, quarantined, members, fleet } = training;
  if (isJobEnd(phase)) return null;
  if (quarantined.size > before.quarantined.size && fleet.members.length === 0) {
    const names = [...quarantined].join(", ");
    const are = quarantined.size === 1 ? "is" : "are";
    const message =
      `no worker is left that can do step ${training.step}: ${names} ${are} in quarantine; the events say why`;
    return failJob(training, "aborted", message);
  }
  if (phase === "waiting") return startAttempt(context, training);
  if (phase !== "compute" && phase !== "reduce") return null;
  if (members.some(({ worker }) => quarantined.has(worker))) return regroup(context, training);
  if (phase === "reduce") return null;
  const settled = settleNonFinite(context, training) ?? settleAudits(context.plan, training);
  if (settled !== null) return settled;
  const probed = endProbe(context, training);
  if (probed !== null) return probed;
  if (!isComplete(training.ledger) || hasOpenAudits(training)) return null;
  return beginRound(context, training);
}

function decideEvent(context: StepContext, training: Training, event: StepEvent): Decision {
  switch (event.type) {
    case "fleet":
      return decideFleet(context, training, event.fleet);
    case "report":
      return decideClaim(context, training, event.report);
    case "update":
      return decideUpdate(context, training, event.report);
    case "failure":
      return decideFailure(context, training, event.report);
    case "evaluation":
      return decideEvaluation(context, training, event.report);
    case "notHandedOut":
      return decideNotHandedOut(context, training, event.step, event.reason);
    case "checkpoint":
      return decideCheckpoint(context, training, event.report);
    case "stored":
      return decideStored(context, training, event.sequence);
    case "damaged":
      return decideDamaged(context, training, event.step);
    case "tick":
      return decideTick(context, training);
    case "notQueued": {
      const { phase, step, attempt } = training;
      const isOver = event.step !== step || event.attempt !== attempt || phase !== "compute";
      if (isOver) return unchanged(training, "an attempt that is over could not be queued");
      return abortAttempt(context, training, event.reason, []);
    }
    case "blackout": {
      const reason = `no worker could be heard for ${event.milliseconds} ms`;
      return unchanged(afterBlackout(training, event.milliseconds, context.now), reason);
    }
    case "reinstate":
      return announced(reinstated(training, event.worker), {}, `${event.worker} is reinstated`);
  }
}
