/** The answer to a request for a piece of the committed state: a tensor frame, empty where the holder has not got it. */
import { LoraFleetError } from "../errors.ts";
import { decodeFrame, encodeFrame, FRAME_HEADER_BYTES, type FrameHeader, jobHash } from "./tensor_frame.ts";

/** Large enough that a round trip counts little, small enough that gradients of others get through in between. */
const MAX_PIECE_BYTES = 512 * 1024;

/** The start of a job's training. */
interface StartId {
  readonly jobId: string;
  readonly startId: string;
}

/** The most words that one answer may hold. */
export function maxPieceWords(maxPayloadBytes: number): number {
  return Math.floor(Math.min(MAX_PIECE_BYTES, maxPayloadBytes - FRAME_HEADER_BYTES) / 4);
}

export function encodeStateFrame(
  start: StartId,
  step: number,
  offset: number,
  words: Int32Array,
): Uint8Array {
  return encodeFrame(headerOf(start, step, offset), words);
}

/** The words; none where the holder has not got them. Throws a `LoraFleetError` with code `corrupt`. */
export function decodeStateFrame(
  start: StartId,
  step: number,
  offset: number,
  bytes: Uint8Array,
): Int32Array {
  const frame = decodeFrame(bytes);
  const expected = headerOf(start, step, offset);
  const names = Object.keys(expected) as (keyof FrameHeader)[];
  if (names.every((name) => frame[name] === expected[name])) return frame.payload;
  throw new LoraFleetError(
    "corrupt",
    `a frame of kind ${frame.kind}, step ${frame.step}, from word ${frame.elementOffset} on came where words ` +
      `from ${offset} on of step ${step}'s state were asked for`,
  );
}

function headerOf({ jobId, startId }: StartId, step: number, offset: number): FrameHeader {
  return {
    kind: "state",
    codec: "raw",
    jobHash: jobHash(`${jobId} ${startId}`),
    generation: 0,
    step,
    attempt: 0,
    senderIndex: 0,
    ownerIndex: 0,
    chunkIndex: 0,
    chunkCount: 1,
    elementOffset: offset,
  };
}
