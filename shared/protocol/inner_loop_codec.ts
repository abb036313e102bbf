/**
 * An inner loop on the wire: what one replica does between two exchanges (decision 0011). All numbers are little-endian:
 *
 *     offset  bytes  field
 *          0      4  magic "LFIL"
 *          4      4  version (1)
 *          8      4  CRC-32 of everything that follows
 *         12      4  N, inner steps
 *         16    20N  of each: number f64, micro-batches u32, learning rate f64
 */
import { crc32 } from "node:zlib";
import { z } from "zod";
import { LoraFleetError } from "../errors.ts";

/** One AdamW update of an inner loop. */
const innerStepSchema = z.strictObject({
  /** Job-wide number of its first micro-batch; the others' follow. */
  number: z.int().min(0),
  microBatchCount: z.int().positive(),
  learningRate: z.number().min(0),
});
export type InnerStep = z.output<typeof innerStepSchema>;

/** Together with the committed state it decides the outcome, bit for bit. */
const innerLoopSchema = z.strictObject({ innerSteps: z.array(innerStepSchema).min(1).max(1000) });
export type InnerLoop = z.output<typeof innerLoopSchema>;

/** Job-wide numbers of all its micro-batches, in order. */
export function numbersOf({ innerSteps }: InnerLoop): number[] {
  return innerSteps.flatMap(({ number, microBatchCount }) =>
    Array.from({ length: microBatchCount }, (_, i) => number + i)
  );
}

const MAGIC = 0x4c49464c; // "LFIL" read as a little-endian u32
const VERSION = 1;
const HEADER_BYTES = 16;
const CHECKED_FROM = 12;
const STEP_BYTES = 20;

export function encodeInnerLoop({ innerSteps }: InnerLoop): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_BYTES + STEP_BYTES * innerSteps.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, VERSION, true);
  view.setUint32(12, innerSteps.length, true);
  for (const [index, { number, microBatchCount, learningRate }] of innerSteps.entries()) {
    const at = HEADER_BYTES + STEP_BYTES * index;
    view.setFloat64(at, number, true);
    view.setUint32(at + 8, microBatchCount, true);
    view.setFloat64(at + 12, learningRate, true);
  }
  view.setUint32(8, crc32(bytes.subarray(CHECKED_FROM)), true);
  return bytes;
}

/** Throws a `LoraFleetError` with code `corrupt` for anything that `encodeInnerLoop` would not write. */
export function decodeInnerLoop(bytes: Uint8Array): InnerLoop {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < HEADER_BYTES) throw corrupt(`${bytes.length} bytes, but the header has ${HEADER_BYTES}`);
  if (view.getUint32(0, true) !== MAGIC) throw corrupt(`it does not begin with "LFIL"`);
  const version = view.getUint32(4, true);
  if (version !== VERSION) throw corrupt(`version ${version}, but only ${VERSION} is understood`);
  const count = view.getUint32(12, true);
  const expected = HEADER_BYTES + STEP_BYTES * count;
  if (bytes.length !== expected) throw corrupt(`${bytes.length} bytes, but its header asks for ${expected}`);
  const hasChecksum = view.getUint32(8, true) === crc32(bytes.subarray(CHECKED_FROM));
  if (!hasChecksum) throw corrupt("its checksum does not match");
  const innerSteps = Array.from({ length: count }, (_, index) => {
    const at = HEADER_BYTES + STEP_BYTES * index;
    return {
      number: view.getFloat64(at, true),
      microBatchCount: view.getUint32(at + 8, true),
      learningRate: view.getFloat64(at + 12, true),
    };
  });
  const parsed = innerLoopSchema.safeParse({ innerSteps });
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw corrupt(`${path.join(".")}: ${message}`);
}

function corrupt(what: string): LoraFleetError {
  return new LoraFleetError("corrupt", `inner loop: ${what}`);
}
