/** A round's frames: the place of a received chunk, and the encoding of this member's own. */
import { encodeFrame, FRAME_HEADER_BYTES, type FrameHeader } from "../../../shared/protocol/tensor_frame.ts";
import type { TensorFrame } from "../../../shared/protocol/tensor_frame.ts";
import type { RoundCodec } from "../codec/round_codec.ts";
import type { Scratch } from "../codec/scratch.ts";
import { chunkCountOf, type ChunkPlan, chunkRange } from "../plan/chunk_plan.ts";
import type { OwnerRange } from "../plan/owner_ranges.ts";
import type { ChunkSet } from "./chunk_set.ts";

export interface RoundFramesOptions {
  /** The numbers that all frames of the round carry. */
  readonly header: Pick<FrameHeader, "jobHash" | "generation" | "step" | "attempt">;
  readonly selfIndex: number;
  /** One for each member. */
  readonly ranges: readonly OwnerRange[];
  readonly plan: ChunkPlan;
  readonly codec: RoundCodec;
  /** For frames with chunks: the sender must have taken one before the next is encoded. */
  readonly frameScratch: Scratch;
}

export class RoundFrames {
  readonly #options: RoundFramesOptions;
  /** Chunks of each member's range. */
  readonly chunkCounts: readonly number[];

  constructor(options: RoundFramesOptions) {
    this.#options = options;
    this.chunkCounts = options.ranges.map((range) => chunkCountOf(range, options.plan.chunkElements));
  }

  chunkAt(owner: number, chunk: number): OwnerRange {
    return chunkRange(this.#options.ranges[owner]!, this.#options.plan.chunkElements, chunk);
  }

  /** The place of the frame's payload; null unless that is exactly a chunk's. */
  placeOf(frame: TensorFrame): OwnerRange | null {
    const { ownerIndex, chunkIndex, chunkCount, codec, elementOffset, payload } = frame;
    if (chunkCount !== this.chunkCounts[ownerIndex] || chunkIndex >= chunkCount) return null;
    const own = this.#options.codec;
    const place = this.chunkAt(ownerIndex, chunkIndex);
    const isWhole = codec === own.frameCodec && elementOffset === place.offset &&
      payload.length === own.payloadWords(place.count);
    return isWhole ? place : null;
  }

  /** In the scratch memory. */
  encodeChunk(owner: number, chunk: number, payload: Int32Array): Uint8Array {
    const { selfIndex, codec, frameScratch } = this.#options;
    const memory = frameScratch.take(FRAME_HEADER_BYTES + payload.byteLength);
    const kind = owner === selfIndex ? "all_gather" as const : "reduce_scatter" as const;
    const { offset } = this.chunkAt(owner, chunk);
    const header = { ...this.#headerOf(owner, chunk, offset), kind, codec: codec.frameCodec };
    return encodeFrame(header, payload, memory);
  }

  /** Confirms chunks of an owner's range; `wantsRest` asks to send the others again. */
  encodeAck(owner: number, { words }: ChunkSet, wantsRest: boolean): Uint8Array {
    const payload = new Int32Array(1 + words.length);
    payload[0] = wantsRest ? 1 : 0;
    payload.set(words, 1);
    const { offset } = this.#options.ranges[owner]!;
    return encodeFrame({ ...this.#headerOf(owner, 0, offset), kind: "ack", codec: "i32" }, payload);
  }

  #headerOf(ownerIndex: number, chunkIndex: number, elementOffset: number) {
    const { header, selfIndex: senderIndex } = this.#options;
    const chunkCount = this.chunkCounts[ownerIndex]!;
    return { ...header, senderIndex, ownerIndex, chunkIndex, chunkCount, elementOffset };
  }
}
