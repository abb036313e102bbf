/**
 * A work item: a JSON header, then the rows of a micro-batch or, with local steps, a replica's inner loop. The inner
 * loop's rows are requested one micro-batch at a time: together they may exceed a message.
 *
 *     offset  bytes  field
 *          0      4  H, bytes of the header, u32 little-endian
 *          4      H  header, JSON
 *        4+H      …  the micro-batch (micro_batch_codec.ts), or the inner loop (inner_loop_codec.ts)
 */
import { z } from "zod";
import { LoraFleetError } from "../errors.ts";
import { jobIdSchema, tokenSchema } from "./ids.ts";
import { decodeMessage, encodeMessage } from "./messages_codec.ts";
import type { MicroBatch } from "../data/packing/micro_batch.ts";
import { decodeMicroBatch, encodeMicroBatch } from "./micro_batch_codec.ts";
import { decodeInnerLoop, encodeInnerLoop, type InnerLoop } from "./inner_loop_codec.ts";

const workItemHeaderSchema = z.strictObject({
  jobId: jobIdSchema,
  startId: tokenSchema,
  specHash: z.string().min(1),
  /** `evaluation`: a micro-batch of the validation rows, for the committed state; left out: a part of a step. */
  kind: z.literal("evaluation").optional(),
  /** Of an evaluation: the committed step. */
  step: z.int().min(0),
  /** Of an evaluation: 0. */
  attempt: z.int().min(0),
  /** Position within the step, or the evaluation. */
  index: z.int().min(0),
  /** Job-wide, of the (first) micro-batch: keys the dropout masks, so that every worker computes the same. */
  number: z.int().min(0),
  /** Whether the claim must report the digest of the gradient. */
  audit: z.boolean(),
});
export type WorkItemHeader = z.output<typeof workItemHeaderSchema>;

/** Far above any header that `encodeWorkItem` writes. */
const MAX_HEADER_BYTES = 4096;

export function encodeWorkItem(header: WorkItemHeader, batch: MicroBatch): Uint8Array {
  return encodeItem(header, encodeMicroBatch(batch));
}

export function encodeInnerLoopItem(header: WorkItemHeader, innerLoop: InnerLoop): Uint8Array {
  return encodeItem(header, encodeInnerLoop(innerLoop));
}

function encodeItem(header: WorkItemHeader, body: Uint8Array): Uint8Array {
  const head = encodeMessage(workItemHeaderSchema, header);
  const bytes = new Uint8Array(4 + head.byteLength + body.byteLength);
  new DataView(bytes.buffer).setUint32(0, head.byteLength, true);
  bytes.set(head, 4);
  bytes.set(body, 4 + head.byteLength);
  return bytes;
}

/** Reveals a stale item without decoding its rows. Throws a `LoraFleetError` with code `corrupt`, as all decoders here. */
export function decodeWorkItemHeader(bytes: Uint8Array): WorkItemHeader {
  const header = bytes.subarray(4, 4 + headerLength(bytes));
  return decodeMessage(workItemHeaderSchema, header, "work item's header");
}

export function decodeWorkItemRows(bytes: Uint8Array): MicroBatch {
  return decodeMicroBatch(bytes.subarray(4 + headerLength(bytes)));
}

export function decodeWorkItemInnerLoop(bytes: Uint8Array): InnerLoop {
  return decodeInnerLoop(bytes.subarray(4 + headerLength(bytes)));
}

function headerLength(bytes: Uint8Array): number {
  if (bytes.byteLength < 4) throw corrupt(`${bytes.byteLength} bytes, but its header's length has 4`);
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
  if (length <= MAX_HEADER_BYTES && 4 + length <= bytes.byteLength) return length;
  throw corrupt(`a header of ${length} bytes in ${bytes.byteLength}`);
}

function corrupt(what: string): LoraFleetError {
  return new LoraFleetError("corrupt", `work item: ${what}`);
}
