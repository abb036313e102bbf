/** The members as a job's training sees them. */
import type { FleetView } from "../../training/state/fleet_view.ts";
import type { Membership } from "./membership.ts";

export function fleetViewOf({ generation, members }: Membership): FleetView {
  return {
    generation,
    members: members.map(({ worker, incarnation, gpu, heartbeat }) => ({
      worker,
      incarnation,
      gpu,
      draining: heartbeat?.draining ?? false,
      job: heartbeat?.job ?? null,
      busy: heartbeat?.busy ?? null,
      microBatchesDone: heartbeat?.microBatchesDone ?? 0,
      linkBytesPerSecond: heartbeat?.linkBytesPerSecond ?? null,
    })),
  };
}
