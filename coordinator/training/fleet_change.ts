/** A change of the fleet may mean other members, or a different writer of the checkpoint. */
import { withoutQuarantined } from "./blame/strikes.ts";
import { checkpointCandidate, chooseCheckpointWriter } from "./checkpoints.ts";
import { type Decision, unchanged } from "./decision.ts";
import { regroupEvaluation } from "./evaluations.ts";
import { newLoadFailures, withFleet, withoutMisfits } from "./members/eligibility.ts";
import { regroup } from "./regroup.ts";
import type { StepContext } from "./state/plan.ts";
import type { FleetView } from "./state/fleet_view.ts";
import { liveHolders, type Training } from "./state/training.ts";

export function decideFleet(context: StepContext, training: Training, whole: FleetView): Decision {
  const { plan, now } = context;
  const { training: checked, effects: misfits, fleet: fitting } = withoutMisfits(plan, training, whole);
  const fleet = withoutQuarantined(fitting, training.quarantined);
  const effects = [...misfits, ...newLoadFailures(plan, training.fleet, fleet)];
  const seen = withFleet(plan, checked, fleet, now);
  const isNews = seen.holders !== training.holders || fleet.generation !== training.fleet.generation;
  const next = isNews ? { ...seen, revision: training.revision + 1 } : seen;
  const change = changeOfPhase(context, next, training);
  if (change !== null) return { ...change, effects: [...effects, ...change.effects] };
  return unchanged(next, "the fleet as it is now", effects);
}

function changeOfPhase(context: StepContext, training: Training, before: Training): Decision | null {
  const { phase, checkpointWriter: writer } = training;
  if (phase === "compute" || phase === "reduce") return regroup(context, training);
  if (phase === "evaluate") return regroupEvaluation(training, before);
  if (phase !== "checkpoint") return null;
  const isWriterNeeded = writer === null
    ? checkpointCandidate(training, context.now) !== null
    : !liveHolders(training).some(({ worker }) => worker === writer);
  return isWriterNeeded ? chooseCheckpointWriter(training, [], context.now) : null;
}
