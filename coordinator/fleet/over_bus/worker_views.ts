/** The fleet as users see it. */
import type { FleetContext } from "./fleet_context.ts";
import type { Member } from "./membership.ts";
import type { WorkerView } from "../fleet.ts";

/** Members sorted by id, then those that are gone, newest first. */
export function workerViews({ membership, quarantines, run }: FleetContext): readonly WorkerView[] {
  const { members, departed } = membership;
  const [strikes, accusations] = [run?.strikes(), run?.accusations()];
  const viewOf = (member: Member, state: WorkerView["state"], reason: string | null): WorkerView => {
    const { worker, incarnation, name, gpu, protocolVersion, joinedAt, lastHeartbeatAt, heartbeat } = member;
    return {
      ...{ id: worker, incarnation, name, gpu, protocolVersion, state, joinedAt, lastHeartbeatAt, reason },
      jobId: state === "lost" ? null : heartbeat?.job?.jobId ?? null,
      maxHeartbeatGapMs: heartbeat?.maxGapMs ?? 0,
      microBatchesDone: heartbeat?.microBatchesDone ?? 0,
      tokensPerSecond: heartbeat?.tokensPerSecond ?? 0,
      gradientBytesSent: heartbeat?.gradientBytesSent ?? 0,
      gpuResets: heartbeat?.gpuResets ?? 0,
      gpuMemory: memoryOf(member),
      strikes: strikes?.get(worker) ?? [],
      accusations: accusations?.get(worker) ?? [],
      quarantine: quarantines.of(worker),
    };
  };
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

function memoryOf({ heartbeat }: Member): WorkerView["gpuMemory"] {
  return heartbeat?.job?.phase === "loaded" ? heartbeat.job.gpuMemory ?? null : null;
}

function reasonOf({ heartbeat }: Member): string | null {
  return heartbeat?.job?.phase === "failed" ? heartbeat.job.message : null;
}
