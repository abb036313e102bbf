/**
 * A micro-batch on the wire. All numbers are little-endian:
 *
 *     offset  bytes  field
 *          0      4  magic "LFMB"
 *          4      4  version: 1, or 2 with weights
 *          8      4  CRC-32 of everything that follows
 *         12      4  T, tokens
 *         16      4  S, segments
 *         20     4S  first token of each segment: the first is 0, each above the one before
 *     20+4S      4T  token ids, u32
 *  20+4S+4T      4T  labels, i32: an id, or −100
 *  20+4S+8T      4T  weights, f32, in version 2
 *
 * A token's position and the start of its segment follow from the segments, so that they are half as many bytes and
 * cannot contradict each other.
 */
import { crc32 } from "node:zlib";
import { LoraFleetError } from "../errors.ts";
import { IGNORE_INDEX, type MicroBatch } from "../data/packing/micro_batch.ts";

const MAGIC = 0x424d464c; // "LFMB" read as a little-endian u32
const [PLAIN, WEIGHTED] = [1, 2];
const HEADER_BYTES = 20;
const CHECKED_FROM = 12;

/** Throws a `LoraFleetError` with code `corrupt` if the arrays contradict each other or a label is neither an id nor −100. */
export function encodeMicroBatch(batch: MicroBatch): Uint8Array<ArrayBuffer> {
  const { tokens, labels, weights } = batch;
  const starts = segmentsOf(batch);
  if (weights !== undefined) checkWeights(weights, tokens.length);
  const columns = weights === undefined ? 2 : 3;
  const bytes = new Uint8Array(HEADER_BYTES + 4 * (starts.length + columns * tokens.length));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, weights === undefined ? PLAIN : WEIGHTED, true);
  view.setUint32(12, tokens.length, true);
  view.setUint32(16, starts.length, true);
  let at = HEADER_BYTES;
  for (const start of starts) at = (view.setUint32(at, start, true), at + 4);
  for (const token of tokens) at = (view.setUint32(at, token, true), at + 4);
  for (const label of labels) at = (view.setInt32(at, label, true), at + 4);
  for (const weight of weights ?? []) at = (view.setFloat32(at, weight, true), at + 4);
  view.setUint32(8, crc32(bytes.subarray(CHECKED_FROM)), true);
  return bytes;
}

/** Throws a `LoraFleetError` with code `corrupt` for anything that `encodeMicroBatch` would not write, or an id too large. */
export function decodeMicroBatch(bytes: Uint8Array, { vocabularySize = Infinity } = {}): MicroBatch {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER_BYTES) throw corrupt(`${bytes.length} bytes, but the header has ${HEADER_BYTES}`);
  if (view.getUint32(0, true) !== MAGIC) throw corrupt(`it does not begin with "LFMB"`);
  const version = view.getUint32(4, true);
  if (version !== PLAIN && version !== WEIGHTED) {
    throw corrupt(`version ${version}, but only ${PLAIN} and ${WEIGHTED} are understood`);
  }
  const tokenCount = view.getUint32(12, true);
  const segmentCount = view.getUint32(16, true);
  const columns = version === WEIGHTED ? 3 : 2;
  const expected = HEADER_BYTES + 4 * (segmentCount + columns * tokenCount);
  if (bytes.length !== expected) throw corrupt(`${bytes.length} bytes, but its header asks for ${expected}`);
  const hasChecksum = view.getUint32(8, true) === crc32(bytes.subarray(CHECKED_FROM));
  if (!hasChecksum) throw corrupt("its checksum does not match");

  const starts = new Uint32Array(segmentCount);
  const batch = {
    tokens: new Uint32Array(tokenCount),
    labels: new Int32Array(tokenCount),
    positions: new Uint32Array(tokenCount),
    segmentStarts: new Uint32Array(tokenCount),
  };
  let at = HEADER_BYTES;
  for (let i = 0; i < segmentCount; i++, at += 4) starts[i] = view.getUint32(at, true);
  for (let t = 0; t < tokenCount; t++, at += 4) batch.tokens[t] = view.getUint32(at, true);
  for (let t = 0; t < tokenCount; t++, at += 4) batch.labels[t] = view.getInt32(at, true);
  fillSegments(batch, starts);
  checkIds(batch, vocabularySize);
  if (version === PLAIN) return batch;
  const weights = new Float32Array(tokenCount);
  for (let t = 0; t < tokenCount; t++, at += 4) weights[t] = view.getFloat32(at, true);
  checkWeights(weights, tokenCount);
  return { ...batch, weights };
}

/** Where each segment begins; throws unless positions and segment starts describe one partition. */
function segmentsOf({ tokens, labels, positions, segmentStarts }: MicroBatch): number[] {
  const count = tokens.length;
  if (count === 0) throw corrupt("it has no tokens");
  for (const [name, array] of Object.entries({ labels, positions, segmentStarts })) {
    if (array.length !== count) throw corrupt(`${count} tokens, but ${array.length} ${name}`);
  }
  const starts: number[] = [];
  for (let t = 0; t < count; t++) {
    const start = segmentStarts[t]!;
    if (start === t) starts.push(t);
    else if (start !== starts.at(-1)) {
      throw corrupt(`token ${t} is in a segment that begins at ${start}, after one at ${starts.at(-1)}`);
    }
    if (positions[t] !== t - start) {
      throw corrupt(`token ${t} has position ${positions[t]}, but its segment begins at ${start}`);
    }
  }
  checkIds({ tokens, labels }, Infinity);
  return starts;
}

function fillSegments(batch: Pick<MicroBatch, "positions" | "segmentStarts">, starts: Uint32Array): void {
  const count = batch.positions.length;
  if (count === 0) throw corrupt("it has no tokens");
  if (starts[0] !== 0) throw corrupt("its first segment does not begin at token 0");
  for (let i = 0; i < starts.length; i++) {
    const start = starts[i]!;
    const end = starts[i + 1] ?? count;
    if (end <= start || end > count) {
      throw corrupt(`segment ${i} goes from token ${start} to ${end} of ${count}`);
    }
    batch.segmentStarts.fill(start, start, end);
    for (let t = start; t < end; t++) batch.positions[t] = t - start;
  }
}

function checkIds(batch: Pick<MicroBatch, "tokens" | "labels">, vocabularySize: number): void {
  for (const token of batch.tokens) {
    if (token >= vocabularySize) throw corrupt(`token id ${token}, but the vocabulary has ${vocabularySize}`);
  }
  for (const label of batch.labels) {
    if (label === IGNORE_INDEX || (label >= 0 && label < vocabularySize)) continue;
    const bound = vocabularySize === Infinity ? "" : ` below ${vocabularySize}`;
    throw corrupt(`label ${label}; an id${bound} or ${IGNORE_INDEX} is needed`);
  }
}

function checkWeights(weights: Float32Array, tokenCount: number): void {
  if (weights.length !== tokenCount) throw corrupt(`${tokenCount} tokens, but ${weights.length} weights`);
  for (const weight of weights) {
    if (!(weight > 0 && weight < Infinity)) throw corrupt(`weight ${weight}; a number above 0 is needed`);
  }
}

function corrupt(what: string): LoraFleetError {
  return new LoraFleetError("corrupt", `micro-batch: ${what}`);
}
