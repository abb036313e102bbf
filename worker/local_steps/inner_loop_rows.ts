/**
 * The rows of an inner loop, asked of the coordinator one micro-batch at a time, the next one while the GPU
 * computes.
 */
import type { Bus } from "../../shared/bus/bus.ts";
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { Limits } from "../../shared/protocol/limits.ts";
import { type InnerLoop, numbersOf } from "../../shared/protocol/inner_loop_codec.ts";
import { encodeMessage } from "../../shared/protocol/messages_codec.ts";
import type { MemberRef } from "../../shared/protocol/messages_coordinator.ts";
import {
  decodeWorkItemHeader,
  decodeWorkItemRows,
  type WorkItemHeader,
} from "../../shared/protocol/messages_work_item.ts";
import { rowsRequestSchema } from "../../shared/protocol/messages_worker.ts";
import type { MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import { rowsSubject } from "../../shared/protocol/subjects.ts";
import { askUntilRead } from "../async/ask.ts";

interface InnerLoopRowsOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly self: MemberRef;
  /** Of the attempt for which the inner loop is computed. */
  readonly term: number;
  /** Of the work item. */
  readonly header: WorkItemHeader;
  readonly innerLoop: InnerLoop;
  /** Ends all asking. */
  readonly signal: AbortSignal;
}

/**
 * To be called once for each micro-batch of the inner loop, in their order. Asks until it is answered or the
 * signal aborts, and rejects with its reason then.
 */
export function createInnerLoopRows(options: InnerLoopRowsOptions): (number: number) => Promise<MicroBatch> {
  const numbers = numbersOf(options.innerLoop);
  let ahead: { readonly number: number; readonly batch: Promise<MicroBatch> } | null = null;
  let position = 0;

  return async (number) => {
    const batch = await (ahead?.number === number ? ahead.batch : ask(options, number));
    const next = numbers[++position];
    ahead = next === undefined ? null : { number: next, batch: ask(options, next) };
    // Where the inner loop ends before, nobody hears what becomes of it.
    ahead?.batch.catch(() => {});
    return batch;
  };
}

function ask(options: InnerLoopRowsOptions, number: number): Promise<MicroBatch> {
  const { bus, clock, limits, self, term, header, signal } = options;
  const { jobId, step, attempt, index } = header;
  const request = {
    ...{ bus, clock, signal, timeoutMs: limits.requestTimeoutMs },
    subject: rowsSubject(jobId, self.worker),
    data: encodeMessage(rowsRequestSchema, { ...self, term, step, attempt, index, number }),
  };
  return askUntilRead(request, (bytes) => {
    // Whether the inner loop is audited is no matter of its rows.
    const expected: WorkItemHeader = { ...header, number, audit: false };
    const answered = decodeWorkItemHeader(bytes);
    const names = Object.keys(expected) as (keyof WorkItemHeader)[];
    if (names.every((name) => answered[name] === expected[name])) return decodeWorkItemRows(bytes);
    throw new LoraFleetError(
      "corrupt",
      `rows of micro-batch ${answered.number} came where those of ${number} were asked for`,
    );
  });
}
