/** Requests the rows of an inner loop from the coordinator one micro-batch at a time, the next one while the GPU computes. */
import { LoraFleetError } from "../../shared/errors.ts";
import { type InnerLoop, numbersOf } from "../../shared/protocol/inner_loop_codec.ts";
import { encodeMessage } from "../../shared/protocol/messages_codec.ts";
import type { MemberRef } from "../../shared/protocol/messages_coordinator.ts";
import { decodeWorkItemHeader, decodeWorkItemRows } from "../../shared/protocol/messages_work_item.ts";
import type { WorkItemHeader } from "../../shared/protocol/messages_work_item.ts";
import { rowsRequestSchema } from "../../shared/protocol/messages_worker.ts";
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import { rowsSubject } from "../../shared/protocol/subjects.ts";
import { askUntilRead, type Request } from "../async/ask.ts";

interface InnerLoopRowsOptions extends Omit<Request, "subject" | "data"> {
  readonly self: MemberRef;
  /** Of the attempt. */
  readonly term: number;
  /** Of the work item. */
  readonly header: WorkItemHeader;
  readonly innerLoop: InnerLoop;
}

/** The function is called once for each micro-batch of the inner loop, in order. It rejects with the signal's reason. */
export function createInnerLoopRows(options: InnerLoopRowsOptions): (number: number) => Promise<MicroBatch> {
  const numbers = numbersOf(options.innerLoop);
  let ahead: { readonly number: number; readonly batch: Promise<MicroBatch> } | null = null;
  let position = 0;

  return async (number) => {
    const batch = await (ahead?.number === number ? ahead.batch : ask(options, number));
    const next = numbers[++position];
    ahead = next === undefined ? null : { number: next, batch: ask(options, next) };
    // The inner loop may end before it awaits this batch.
    ahead?.batch.catch(() => {});
    return batch;
  };
}

function ask(options: InnerLoopRowsOptions, number: number): Promise<MicroBatch> {
  const { self, term, header } = options;
  const { jobId, step, attempt, index } = header;
  const request = {
    ...options,
    subject: rowsSubject(jobId, self.worker),
    data: encodeMessage(rowsRequestSchema, { ...self, term, step, attempt, index, number }),
  };
  return askUntilRead(request, (bytes) => {
    // The rows are the same with an audit and without.
    const expected: WorkItemHeader = { ...header, number, audit: false };
    const answered = decodeWorkItemHeader(bytes);
    const names = Object.keys(expected) as (keyof WorkItemHeader)[];
    if (names.every((name) => answered[name] === expected[name])) return decodeWorkItemRows(bytes);
    const message = `rows of micro-batch ${answered.number} came instead of those of ${number}`;
    throw new LoraFleetError("corrupt", message);
  });
}
