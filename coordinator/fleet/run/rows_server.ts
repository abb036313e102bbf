/** Serves the rows of inner loops to the workers that compute them, one micro-batch at a time. */
import type { Subscription } from "../../../shared/bus/bus.ts";
import { LoraFleetError } from "../../../shared/errors.ts";
import { encodeWorkItem } from "../../../shared/protocol/messages_work_item.ts";
import { type RowsRequest, rowsRequestSchema } from "../../../shared/protocol/messages_worker.ts";
import type { MicroBatch } from "../../../shared/data/packing/micro_batch.ts";
import { ANY, rowsSubject } from "../../../shared/protocol/subjects.ts";
import { listenToWorkers } from "../listen.ts";
import { type LocalPlan, placeOfNumber } from "../../planning/schedule/local_plan.ts";
import type { RunContext } from "./run_context.ts";

/** Data steps whose micro-batches are cached: each worker goes through its own in order. */
const KEPT_DATA_STEPS = 32;

interface RowsServerOptions extends Pick<RunContext, "bus" | "job" | "startId" | "guard"> {
  readonly local: LocalPlan;
  /** Whether a member of the current attempt sent the request. */
  readonly isCurrent: (request: RowsRequest) => boolean;
  /** The rows do not fit into a message. */
  readonly onUnanswerable: (request: RowsRequest, thrown: unknown) => void;
}

export function serveRows(options: RowsServerOptions): Subscription {
  const { bus, job, local, startId, isCurrent, onUnanswerable, guard } = options;
  const { training } = job.spec;
  const kept = new Map<number, readonly MicroBatch[]>();

  function batchesOf(dataStep: number): readonly MicroBatch[] {
    const batches = kept.get(dataStep) ?? job.microBatchesOf(dataStep);
    // The newest is the last in the map's order.
    kept.delete(dataStep);
    kept.set(dataStep, batches);
    if (kept.size > KEPT_DATA_STEPS) kept.delete(kept.keys().next().value!);
    return batches;
  }

  function batchOf(request: RowsRequest): MicroBatch {
    const { dataStep, index } = placeOfNumber(request.number, training);
    const batch = dataStep <= local.totalDataSteps ? batchesOf(dataStep)[index] : undefined;
    if (batch !== undefined) return batch;
    throw new LoraFleetError(
      "corrupt",
      `${request.worker} asks for micro-batch ${request.number} of ${job.id}, which has ` +
        `${local.totalDataSteps} data steps of up to ${training.gradient_accumulation_steps}`,
    );
  }

  return listenToWorkers(bus, {
    subject: rowsSubject(job.id, ANY),
    schema: rowsRequestSchema,
    what: "request for rows",
    handle: ({ payload, respond }) => {
      if (!isCurrent(payload)) return;
      const { step, attempt, index, number } = payload;
      const start = { jobId: job.id, startId, specHash: job.specHash };
      const item = encodeWorkItem({ ...start, step, attempt, index, number, audit: false }, batchOf(payload));
      try {
        respond(item);
      } catch (thrown) {
        onUnanswerable(payload, thrown);
      }
    },
  }, guard);
}
