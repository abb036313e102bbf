/** Workers that measure merges, and the request to one of them. */
import { encodeMessage } from "../../../shared/protocol/messages_codec.ts";
import type { MemberRef } from "../../../shared/protocol/messages_coordinator.ts";
import { type Measurement, measurementSchema } from "../../../shared/protocol/messages_measure.ts";
import { MEASUREMENT_SUBJECT } from "../../../shared/protocol/subjects.ts";
import type { FleetContext } from "./fleet_context.ts";

export function measurersOf(
  { job, membership, quarantines }: Pick<FleetContext, "job" | "membership" | "quarantines">,
): { readonly isTraining: boolean; readonly workers: readonly MemberRef[] } {
  const workers = membership.members.filter(({ worker, heartbeat }) =>
    heartbeat !== null && !heartbeat.draining && quarantines.of(worker) === null
  );
  return {
    isTraining: job !== null,
    workers: workers.map(({ worker, incarnation }) => ({ worker, incarnation })),
  };
}

export function askToMeasure(
  { bus, coordinatorId }: Pick<FleetContext, "bus" | "coordinatorId">,
  measurement: Omit<Measurement, "coordinatorId">,
): void {
  bus.publish(MEASUREMENT_SUBJECT, encodeMessage(measurementSchema, { coordinatorId, ...measurement }));
}
