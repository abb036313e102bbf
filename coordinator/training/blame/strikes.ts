/**
 * Strikes with their reasons, and quarantine. To the training a quarantined worker is gone: it is in no attempt, others redo
 * what is in its sums, and nothing waits for it (decision 0012).
 */
import type { Limits } from "../../../shared/protocol/limits.ts";
import type { WorkerQuarantine } from "../../access/quarantines.ts";
import type { StepEffect } from "../state/effects.ts";
import type { FleetView } from "../state/fleet_view.ts";
import type { Training } from "../state/training.ts";

export interface Blamed {
  readonly training: Training;
  readonly effects: readonly StepEffect[];
}

/** One strike more for each of these workers. With too many a worker is in quarantine for the rest of the job. */
export function blame(training: Training, workers: Iterable<string>, why: string, limits: Limits): Blamed {
  let blamed: Blamed = { training: withStrikes(training, workers, why), effects: [] };
  for (const worker of new Set(workers)) {
    const reasons = blamed.training.strikes.get(worker)!;
    if (reasons.length < limits.strikesUntilDropped) continue;
    const { training, effects } = quarantine(blamed.training, worker, reasons, "jobEnds");
    blamed = { training, effects: [...blamed.effects, ...effects] };
  }
  return blamed;
}

/** Strikes without a quarantine, for faults that may not be the worker's. */
export function withStrikes(training: Training, workers: Iterable<string>, why: string): Training {
  const strikes = new Map(training.strikes);
  for (const worker of new Set(workers)) strikes.set(worker, [...strikes.get(worker) ?? [], why]);
  return { ...training, strikes };
}

/** No more work for a worker; changes nothing if it is in quarantine already. */
export function quarantine(
  training: Training,
  worker: string,
  reasons: readonly string[],
  until: WorkerQuarantine["until"],
): Blamed {
  if (training.quarantined.has(worker)) return { training, effects: [] };
  const quarantined = new Set(training.quarantined).add(worker);
  const how = until === "jobEnds"
    ? `takes no further part in the job: it was to blame ${reasons.length} times`
    : "is in quarantine until it is reinstated";
  const message = `${worker} ${how}: ${reasons.join("; ")}.`;
  return {
    training: { ...training, quarantined, fleet: withoutQuarantined(training.fleet, quarantined) },
    effects: [{ type: "event", level: "error", message }, { type: "quarantine", worker, reasons, until }],
  };
}

/** The fleet as the training sees it. */
export function withoutQuarantined(fleet: FleetView, quarantined: ReadonlySet<string>): FleetView {
  if (!fleet.members.some(({ worker }) => quarantined.has(worker))) return fleet;
  return { ...fleet, members: fleet.members.filter(({ worker }) => !quarantined.has(worker)) };
}

/** Without strikes and quarantine of the worker, which the next view of the fleet adds again. */
export function reinstated(training: Training, worker: string): Training {
  const strikes = new Map(training.strikes);
  strikes.delete(worker);
  return { ...training, strikes, quarantined: training.quarantined.difference(new Set([worker])) };
}
