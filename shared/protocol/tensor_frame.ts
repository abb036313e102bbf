/**
 * The binary frame of 32-bit words between workers: gradient chunks, their acks, and state for a recovering worker. A
 * header of 48 bytes, then the payload; everything little-endian.
 *
 *     byte  0  u32  magic "LFTF"            byte 28  u32  chunk index
 *           4  u8   version                      32  u32  chunk count
 *           5  u8   kind                         36  u32  element offset
 *           6  u8   codec                        40  u32  words of the payload
 *           7  u8   0                            44  u32  CRC-32 of all the rest
 *           8  u32  hash of the job's name
 *          12  u32  generation
 *          16  u32  step
 *          20  u32  attempt
 *          24  u16  sender index
 *          26  u16  owner index
 *
 * The checksum also covers the header. CRC-32 finds every burst of up to 32 bits, so no changed byte or bit passes.
 */
import { crc32 } from "node:zlib";
import { LoraFleetError } from "../errors.ts";

export const FRAME_HEADER_BYTES = 48;
const FRAME_VERSION = 1;

const MAGIC = 0x4654_464c;
const CHECKSUM_AT = 44;
/** Position in the list = number on the wire. */
const KINDS = ["reduce_scatter", "all_gather", "ack", "state"] as const;
/** `i32`: integers; `raw`: words that the receiver interprets, such as f32; `i8`: worker/allreduce/codec/int8_blocks.ts. */
const CODECS = ["i32", "raw", "i8"] as const;

/**
 * `reduce_scatter`: a chunk of a sender's gradient sums for the owner of its range. `all_gather`: a chunk of an owner's
 * finished range. `ack`: which chunks arrived. `state`: adapter and moments, or a request for them.
 */
export type FrameKind = typeof KINDS[number];
export type FrameCodec = typeof CODECS[number];

/** All numbers are u32, but the worker indices are u16. */
export interface FrameHeader {
  readonly kind: FrameKind;
  readonly codec: FrameCodec;
  /** `jobHash` of the job's name: recognises frames of a different job. */
  readonly jobHash: number;
  readonly generation: number;
  readonly step: number;
  readonly attempt: number;
  /** Positions in the sorted list of the round's members. */
  readonly senderIndex: number;
  readonly ownerIndex: number;
  readonly chunkIndex: number;
  readonly chunkCount: number;
  /** Position of the payload's first element in the whole. */
  readonly elementOffset: number;
}

export interface TensorFrame extends FrameHeader {
  /** A view into the message if that is aligned, else a copy: do not write to it. */
  readonly payload: Int32Array;
}

/** CRC-32 of a name. */
export function jobHash(name: string): number {
  return crc32(new TextEncoder().encode(name));
}

/** Copies the payload once, into the frame at the start of `memory`. Throws a `LoraFleetError` for a number out of range. */
export function encodeFrame(
  header: FrameHeader,
  payload: Int32Array,
  memory: ArrayBuffer = new ArrayBuffer(FRAME_HEADER_BYTES + payload.byteLength),
): Uint8Array {
  const frame = new Uint8Array(memory, 0, FRAME_HEADER_BYTES + payload.byteLength);
  const view = new DataView(memory);
  view.setUint32(0, MAGIC, true);
  view.setUint8(4, FRAME_VERSION);
  view.setUint8(5, KINDS.indexOf(header.kind));
  view.setUint8(6, CODECS.indexOf(header.codec));
  view.setUint8(7, 0);
  const words = [header.jobHash, header.generation, header.step, header.attempt];
  words.forEach((word, index) => view.setUint32(8 + 4 * index, assertUint(word, 32), true));
  view.setUint16(24, assertUint(header.senderIndex, 16), true);
  view.setUint16(26, assertUint(header.ownerIndex, 16), true);
  const places = [header.chunkIndex, header.chunkCount, header.elementOffset, payload.length];
  places.forEach((place, index) => view.setUint32(28 + 4 * index, assertUint(place, 32), true));
  new Int32Array(memory, FRAME_HEADER_BYTES).set(payload);
  view.setUint32(CHECKSUM_AT, checksum(frame), true);
  return frame;
}

/** Throws a `LoraFleetError` with code `corrupt` for anything but a whole, unchanged frame of this version. */
export function decodeFrame(frame: Uint8Array): TensorFrame {
  if (frame.length < FRAME_HEADER_BYTES) {
    throw corrupt(`it has ${frame.length} bytes, a header needs ${FRAME_HEADER_BYTES}`);
  }
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const u32 = (at: number) => view.getUint32(at, true);
  if (u32(0) !== MAGIC) throw corrupt("it does not begin with LFTF");
  const version = view.getUint8(4);
  if (version !== FRAME_VERSION) {
    throw corrupt(`its version is ${version}, this program speaks ${FRAME_VERSION}`);
  }
  const wordCount = u32(40);
  const expected = FRAME_HEADER_BYTES + 4 * wordCount;
  if (frame.length !== expected) {
    throw corrupt(`it has ${frame.length} bytes, ${wordCount} words need ${expected}`);
  }
  if (u32(CHECKSUM_AT) !== checksum(frame)) throw corrupt("its checksum does not match");
  const kind = KINDS[view.getUint8(5)];
  const codec = CODECS[view.getUint8(6)];
  if (kind === undefined) throw corrupt(`its kind ${view.getUint8(5)} is unknown`);
  if (codec === undefined) throw corrupt(`its codec ${view.getUint8(6)} is unknown`);
  if (view.getUint8(7) !== 0) throw corrupt("its reserved byte is not 0");
  return {
    kind,
    codec,
    jobHash: u32(8),
    generation: u32(12),
    step: u32(16),
    attempt: u32(20),
    senderIndex: view.getUint16(24, true),
    ownerIndex: view.getUint16(26, true),
    chunkIndex: u32(28),
    chunkCount: u32(32),
    elementOffset: u32(36),
    payload: wordsOf(frame),
  };
}

function checksum(frame: Uint8Array): number {
  return crc32(frame.subarray(FRAME_HEADER_BYTES), crc32(frame.subarray(0, CHECKSUM_AT)));
}

function wordsOf(frame: Uint8Array): Int32Array {
  const start = frame.byteOffset + FRAME_HEADER_BYTES;
  const count = (frame.length - FRAME_HEADER_BYTES) / 4;
  if (start % 4 === 0) return new Int32Array(frame.buffer, start, count);
  // Not `frame.slice`: for Node's Buffer, a subclass of Uint8Array, that is a view of the whole message.
  const words = new Int32Array(count);
  new Uint8Array(words.buffer).set(frame.subarray(FRAME_HEADER_BYTES));
  return words;
}

function assertUint(value: number, bits: number): number {
  if (Number.isInteger(value) && value >= 0 && value < 2 ** bits) return value;
  throw new LoraFleetError("invalid_request", `a frame's header holds u${bits}, not ${value}`);
}

function corrupt(what: string): LoraFleetError {
  return new LoraFleetError("corrupt", `a message is no tensor frame: ${what}`);
}
