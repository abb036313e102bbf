/** A piece of the committed state, the answer to a recover request: a tensor frame, empty if the holder lacks it. */
import { LoraFleetError } from "../../errors.ts";
import { decodeFrame, encodeFrame, FRAME_HEADER_BYTES, type FrameHeader, jobHash } from "../tensor_frame.ts";

/** Large enough to amortise the round trip, small enough that gradients get through in between. */
const MAX_PIECE_BYTES = 512 * 1024;

/** A start of a job's training. */
type StartId = Readonly<Record<"jobId" | "startId", string>>;

/** The maximum words of one answer. */
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

/** The words, none if the holder lacks them. Throws a `LoraFleetError` with code `corrupt`. */
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
    `received a frame of kind ${frame.kind}, step ${frame.step}, from word ${frame.elementOffset} on; requested were ` +
      `words from ${offset} on of step ${step}'s state`,
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
