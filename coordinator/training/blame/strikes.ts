/**
 * Workers that are to blame: strikes with their reasons, and quarantine. For the training a worker in quarantine is one that is
 * gone: it is in no attempt, what is in its sums is done again by others, and nobody waits for it (decision 0012).
 */
import type { Limits } from "../../../shared/protocol/limits.ts";
import type { WorkerQuarantine } from "../../access/quarantines.ts";
import type { StepEffect } from "../state/effects.ts";
import type { FleetView } from "../state/fleet_view.ts";
import type { Training } from "../state/training.ts";

/** A training with the effects that belong to it. */
export interface Blamed {
  readonly training: Training;
  readonly effects: readonly StepEffect[];
}

/** One strike more for each of these workers. With too many it is in quarantine for the rest of the job. */
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

/** Strikes alone, where it is not certain that a worker is to blame at all. */
export function withStrikes(training: Training, workers: Iterable<string>, why: string): Training {
  const strikes = new Map(training.strikes);
  for (const worker of new Set(workers)) strikes.set(worker, [...strikes.get(worker) ?? [], why]);
  return { ...training, strikes };
}

/** No work for a worker from now on; without any effect where it has none already. */
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

/** The worker is as good as any other again; who is there is told by the next view of the fleet. */
export function reinstated(training: Training, worker: string): Training {
  const strikes = new Map(training.strikes);
  strikes.delete(worker);
  const quarantined = new Set(training.quarantined);
  quarantined.delete(worker);
  return { ...training, strikes, quarantined };
}
