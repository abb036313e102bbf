/** A run's work queue at the broker: one item per micro-batch, or per inner loop with local steps. */
import { messageOf } from "../../../shared/errors.ts";
import { encodeWorkItem } from "../../../shared/protocol/messages_work_item.ts";
import * as subjects from "../../../shared/protocol/subjects.ts";
import type { StepEffect } from "../../training/state/effects.ts";
import { isCurrent, type RunContext } from "./run_context.ts";

type Requeue = Extract<StepEffect, { type: "requeue" }>;

/**
 * Enqueues items of an attempt, or (without `indices`) all of them. A broker that does not store them costs time but no attempt:
 * the items of a repeated call have the same ids.
 */
export async function enqueueItems(
  run: RunContext,
  { step, attempt, indices, time, purge }:
    & Omit<Requeue, "type" | "indices">
    & Partial<Pick<Requeue, "indices">>,
): Promise<void> {
  const { bus, job, patience, items } = run;
  const suffix = time === 0 ? "" : `.${time}`;
  const put = async () => {
    if (purge) await bus.purgeQueue(subjects.workQueueName(job.id), subjects.allWorkSubject(job.id));
    const all = indices ?? [...items(step).keys()];
    await Promise.all(all.map((index) => enqueueItem(run, step, attempt, index, suffix)));
  };
  try {
    await patience.insist(put, () => !isCurrent(run, step, attempt));
  } catch (thrown) {
    const reason = `its micro-batches could not be put on the queue: ${messageOf(thrown)}`;
    run.apply({ type: "notQueued", step, attempt, reason });
  }
}

async function enqueueItem(
  run: RunContext,
  step: number,
  attempt: number,
  index: number,
  suffix: string,
): Promise<void> {
  if (!isCurrent(run, step, attempt)) return;
  const { bus, job, startId } = run;
  await bus.enqueue(
    subjects.workSubject(job.id, step, attempt),
    encodeItem(run, step, attempt, index),
    `${startId}.${subjects.workItemId(job.id, step, attempt, index)}${suffix}`,
  );
}

/** Enqueues micro-batches of the validation rows; as with `enqueueItems`, a broker that does not store costs time alone. */
export async function enqueueEvaluation(
  run: RunContext,
  { step, indices, time, purge }: Extract<StepEffect, { type: "enqueueEvaluation" }>,
): Promise<void> {
  const { bus, job, startId, patience } = run;
  const isOver = () =>
    run.isClosed || run.training.phase !== "evaluate" || run.training.committed?.step !== step;
  const suffix = time === 0 ? "" : `.${time}`;
  const put = async () => {
    if (purge) await bus.purgeQueue(subjects.workQueueName(job.id), subjects.allWorkSubject(job.id));
    await Promise.all(indices.map(async (index) => {
      if (isOver()) return;
      const id = `${startId}.${subjects.evaluationItemId(job.id, step, index)}${suffix}`;
      const subject = subjects.evaluationWorkSubject(job.id, step);
      await bus.enqueue(subject, encodeEvaluationItem(run, step, index), id);
    }));
  };
  try {
    await patience.insist(put, isOver);
  } catch (thrown) {
    const reason = `its rows could not be put on the queue: ${messageOf(thrown)}`;
    run.apply({ type: "notHandedOut", step, reason });
  }
}

function encodeEvaluationItem({ job, startId }: RunContext, step: number, index: number): Uint8Array {
  const start = { jobId: job.id, startId, specHash: job.specHash };
  const header = {
    ...start,
    kind: "evaluation",
    step,
    attempt: 0,
    index,
    number: index,
    audit: false,
  } as const;
  return encodeWorkItem(header, job.evaluation!.microBatchAt(index));
}

/** An item's bytes on the queue. */
export function encodeItem(
  { job, startId, plan, items }: RunContext,
  step: number,
  attempt: number,
  index: number,
): Uint8Array {
  const { number, encode } = items(step)[index]!;
  const audit = plan.isAudited(step, index);
  return encode({ jobId: job.id, startId, specHash: job.specHash, step, attempt, index, number, audit });
}
