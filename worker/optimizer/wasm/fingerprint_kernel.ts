/** The block sums of `fingerprintOf` (fingerprint.ts) in WebAssembly, eight elements of each array at a time. */
import {
  assemble,
  type Code,
  countUp,
  i32,
  i32x4,
  i64x2,
  quad,
  sequence,
  wasmFunction,
} from "../../../shared/std/wasm.ts";
import { BLOCK_ELEMENTS, fingerprintOfSums, keysOf, SUM_BYTES } from "./fingerprint.ts";
import type { MemoryName } from "./adamw_kernel.ts";

const NEXT = ["nextAdapter", "nextFirstMoment", "nextSecondMoment"] as const satisfies readonly MemoryName[];
const KEYS_AND_SUMS = NEXT.length;
const ARRAY_BYTES = 4 * BLOCK_ELEMENTS;
/** Where the sums begin, after three arrays of keys. */
const SUMS_OFFSET = NEXT.length * ARRAY_BYTES;
const EIGHT = 32;
const PAGE_BYTES = 65536;

const sumBlocks = wasmFunction({
  // Addresses: of the first element, of the first block's sums, and where the last block's end.
  parameters: { at: "i32", sums: "i32", sumsEnd: "i32" },
  variables: { key: "i32", keysEnd: "i32", a: "v128", b: "v128", low: "v128", high: "v128" },
  body({ at, sums, sumsEnd, key, keysEnd, a, b, low, high }) {
    /** Four elements of an array, each plus its key. */
    const keyed = (array: number, offset: number): Code =>
      i32x4.add(
        quad.load(array, at.get, offset),
        quad.load(KEYS_AND_SUMS, key.get, ARRAY_BYTES * array + offset),
      );
    const addProducts = (left: Code, right: Code): Code =>
      sequence(
        a.set(left),
        b.set(right),
        low.set(i64x2.add(low.get, i64x2.mulLow(a.get, b.get))),
        high.set(i64x2.add(high.get, i64x2.mulHigh(a.get, b.get))),
      );
    return countUp(
      sums,
      sumsEnd,
      SUM_BYTES,
      sequence(
        low.set(i64x2.zero),
        high.set(i64x2.zero),
        key.set(i32.constant(0)),
        keysEnd.set(i32.constant(ARRAY_BYTES)),
        countUp(
          key,
          keysEnd,
          EIGHT,
          sequence(
            addProducts(keyed(0, 0), keyed(1, 0)),
            addProducts(keyed(0, 16), keyed(1, 16)),
            addProducts(keyed(2, 0), keyed(2, 16)),
            at.set(i32.add(at.get, i32.constant(EIGHT))),
          ),
        ),
        quad.store(KEYS_AND_SUMS, sums.get, i64x2.add(low.get, high.get)),
      ),
    );
  },
});

export const KERNEL_BYTES = assemble([...NEXT, "fingerprint"], { sumBlocks });

const compiled = new WebAssembly.Module(KERNEL_BYTES);

const blockCountOf = (elementCount: number): number => Math.ceil(elementCount / BLOCK_ELEMENTS);

/** Keys, and room for the sums of all blocks, shared between threads. */
export function allocateFingerprint(elementCount: number): WebAssembly.Memory {
  const pages = Math.ceil((SUMS_OFFSET + SUM_BYTES * blockCountOf(elementCount)) / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  NEXT.forEach((_, array) => new Uint32Array(memory.buffer, ARRAY_BYTES * array).set(keysOf(array)));
  return memory;
}

/** The fingerprint in hexadecimal, once all block sums are there. */
export function fingerprintOfBlocks(elementCount: number, { buffer }: WebAssembly.Memory): string {
  return fingerprintOfSums(
    elementCount,
    new Uint8Array(buffer, SUMS_OFFSET, SUM_BYTES * blockCountOf(elementCount)),
  );
}

export interface FingerprintKernel {
  /** Writes the sums of the blocks of elements [from, to); `from` begins one. What follows the last element in memory must be 0. */
  sumBlocks(from: number, to: number): void;
}

export function fingerprintKernel(
  memories: Readonly<Record<typeof NEXT[number] | "fingerprint", WebAssembly.Memory>>,
): FingerprintKernel {
  const { exports } = new WebAssembly.Instance(compiled, { memory: { ...memories } });
  const { sumBlocks } = exports as Record<"sumBlocks", (...values: number[]) => void>;
  const sumsAt = (block: number) => SUMS_OFFSET + SUM_BYTES * block;
  return {
    sumBlocks: (from, to) => sumBlocks(4 * from, sumsAt(from / BLOCK_ELEMENTS), sumsAt(blockCountOf(to))),
  };
}
