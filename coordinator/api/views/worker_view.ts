/** A worker of the fleet. */
import { z } from "@hono/zod-openapi";
import type { WorkerView } from "../../fleet/fleet.ts";
import { seconds, timestamp } from "./list_view.ts";

export const workerSchema = z.object({
  object: z.literal("worker"),
  id: z.string(),
  incarnation: z.string(),
  name: z.string(),
  gpu: z.string(),
  protocol_version: z.int().openapi({ description: "Lower than other workers': one of an earlier release" }),
  state: z.enum(["joining", "loading", "ready", "working", "draining", "lost"]),
  job_id: z.string().nullable(),
  joined_at: timestamp,
  last_heartbeat_at: timestamp,
  max_heartbeat_gap_ms: z.number(),
  micro_batches_done: z.int(),
  tokens_per_second: z.number(),
  gradient_bytes_sent: z.int(),
  reason: z.string().nullable(),
  strikes: z.array(z.string()).openapi({ description: "Its faults in the current job" }),
  accusations: z.array(z.string()).openapi({
    description: "Unconfirmed accusations in that job, by and against it",
  }),
  quarantine: z.object({
    reason: z.string(),
    reasons: z.array(z.string()).openapi({ description: "One by one, oldest first" }),
    since: timestamp,
    job_id: z.string().openapi({ description: "The job in which it was quarantined" }),
    until: z.enum(["job_ends", "reinstated"]).openapi({
      description: "job_ends: it had too many faults. reinstated: an audit found its gradients wrong",
    }),
  }).nullable().openapi({ description: "Why it gets no work; null if it does" }),
}).openapi("Worker");

export function workerView(worker: WorkerView): z.output<typeof workerSchema> {
  const { id, incarnation, name, gpu, state, reason } = worker;
  return {
    object: "worker",
    id,
    incarnation,
    name,
    gpu,
    protocol_version: worker.protocolVersion,
    state,
    job_id: worker.jobId,
    joined_at: seconds(worker.joinedAt),
    last_heartbeat_at: seconds(worker.lastHeartbeatAt),
    max_heartbeat_gap_ms: worker.maxHeartbeatGapMs,
    micro_batches_done: worker.microBatchesDone,
    tokens_per_second: worker.tokensPerSecond,
    gradient_bytes_sent: worker.gradientBytesSent,
    reason,
    strikes: [...worker.strikes],
    accusations: [...worker.accusations],
    quarantine: quarantineView(worker.quarantine),
  };
}

function quarantineView(quarantine: WorkerView["quarantine"]): z.output<typeof workerSchema>["quarantine"] {
  if (quarantine === null) return null;
  const { reasons, since, jobId, until } = quarantine;
  return {
    reason: reasons.join("; "),
    reasons: [...reasons],
    since: seconds(since),
    job_id: jobId,
    until: until === "jobEnds" ? "job_ends" : until,
  };
}
