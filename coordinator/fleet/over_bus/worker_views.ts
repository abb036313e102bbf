/** The fleet as users see it. */
import type { Member, Membership } from "./membership.ts";
import type { WorkerView } from "../fleet.ts";
import type { Quarantines } from "../../access/quarantines.ts";

/** Members sorted by id, then those that are gone, newest first. */
export function workerViews(
  { members, departed }: Membership,
  quarantines: Pick<Quarantines, "of">,
  strikes: ReadonlyMap<string, readonly string[]>,
  accusations: ReadonlyMap<string, readonly string[]>,
): readonly WorkerView[] {
  const viewOf = (member: Member, state: WorkerView["state"], reason: string | null): WorkerView => ({
    ...telemetryOf(member, state, reason),
    strikes: strikes.get(member.worker) ?? [],
    accusations: accusations.get(member.worker) ?? [],
    quarantine: quarantines.of(member.worker),
  });
  return [
    ...members.map((member) => viewOf(member, stateOf(member), reasonOf(member))),
    ...departed.toReversed().map((gone) => viewOf(gone, "lost", gone.reason)),
  ];
}

function stateOf({ heartbeat }: Member): WorkerView["state"] {
  if (heartbeat === null) return "joining";
  if (heartbeat.draining) return "draining";
  if (heartbeat.busy !== null) return "working";
  return heartbeat.job?.phase === "loading" ? "loading" : "ready";
}

function reasonOf({ heartbeat }: Member): string | null {
  return heartbeat?.job?.phase === "failed" ? heartbeat.job.message : null;
}

function telemetryOf(
  member: Member,
  state: WorkerView["state"],
  reason: string | null,
): Omit<WorkerView, "strikes" | "accusations" | "quarantine"> {
  const { heartbeat } = member;
  return {
    id: member.worker,
    incarnation: member.incarnation,
    name: member.name,
    gpu: member.gpu,
    state,
    jobId: state === "lost" ? null : heartbeat?.job?.jobId ?? null,
    joinedAt: member.joinedAt,
    lastHeartbeatAt: member.lastHeartbeatAt,
    maxHeartbeatGapMs: heartbeat?.maxGapMs ?? 0,
    microBatchesDone: heartbeat?.microBatchesDone ?? 0,
    tokensPerSecond: heartbeat?.tokensPerSecond ?? 0,
    gradientBytesSent: heartbeat?.gradientBytesSent ?? 0,
    reason,
  };
}
