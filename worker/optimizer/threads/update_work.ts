/**
 * The loops of an update, cut into pieces that several threads take one after the other. Which thread computes a piece has no
 * influence on its bits: a tensor's squares are added by one thread, in their order, and elements do not depend on each other.
 */
import { CHUNK_ELEMENTS, chunkCountOf, digestChunk } from "../../../shared/protocol/state/state_digest.ts";
import { fingerprintKernel } from "../wasm/fingerprint_kernel.ts";
import { type AdamWKernel, adamwKernel, type Coefficients, type MemoryName } from "../wasm/adamw_kernel.ts";

/** What all threads need; memories and shared arrays stay shared when it is posted. */
export type UpdateWork =
  & {
    readonly memories: Readonly<Record<MemoryName, WebAssembly.Memory>>;
    /** First element of each tensor, then the number of all elements. */
    readonly starts: Float64Array;
    /** Shared [1]: the next piece that no thread has taken. */
    readonly taken: Int32Array;
    /** Shared: for the digests of the next state's chunks; null, or left out: not wanted. */
    readonly digests?: Uint8Array | null;
    /** For the block sums of the next state's fingerprint (allocateFingerprint); null, or left out: not wanted. */
    readonly fingerprint?: WebAssembly.Memory | null;
  }
  & (
    | {
      readonly kind: "squares";
      /** Shared: for each tensor the sum of the squares of its integer gradient sums. */
      readonly squares: Float64Array;
    }
    | {
      readonly kind: "update";
      readonly factors: Float64Array;
      readonly coefficients: Coefficients;
    }
    | {
      /** Of the next state as it is. */
      readonly kind: "digests";
    }
  );

/** Computes pieces until none is left: tensors for their squares, chunks of the digest otherwise. */
export function work(on: UpdateWork): void {
  const { memories, starts, taken, digests = null } = on;
  const kernel = adamwKernel(memories);
  const tensorCount = starts.length - 1;
  if (on.kind === "squares") {
    for (let index = take(taken); index < tensorCount; index = take(taken)) {
      on.squares[index] = kernel.squares(starts[index]!, starts[index + 1]!);
    }
    return;
  }
  const elementCount = starts[tensorCount]!;
  const chunkCount = chunkCountOf(elementCount);
  const bytesOf = ({ buffer }: WebAssembly.Memory) => new Uint8Array(buffer);
  const { nextAdapter, nextFirstMoment, nextSecondMoment } = memories;
  const next = [bytesOf(nextAdapter), bytesOf(nextFirstMoment), bytesOf(nextSecondMoment)] as const;
  const fingerprint = on.fingerprint ? fingerprintKernel({ ...memories, fingerprint: on.fingerprint }) : null;
  for (let chunk = take(taken); chunk < chunkCount; chunk = take(taken)) {
    if (on.kind === "update") updateChunk(kernel, on, chunk);
    // What has just been written is in this core's cache.
    if (digests !== null) digestChunk(next, elementCount, chunk, digests);
    fingerprint?.sumBlocks(CHUNK_ELEMENTS * chunk, Math.min(elementCount, CHUNK_ELEMENTS * (chunk + 1)));
  }
}

function updateChunk(
  kernel: AdamWKernel,
  { starts, factors, coefficients }: UpdateWork & { readonly kind: "update" },
  chunk: number,
): void {
  const from = CHUNK_ELEMENTS * chunk;
  const to = Math.min(from + CHUNK_ELEMENTS, starts.at(-1)!);
  for (const [index, start, end] of tensorsWithin(starts, from, to)) {
    kernel.update(start, end, factors[index]!, coefficients);
  }
}

const take = (taken: Int32Array): number => Atomics.add(taken, 0, 1);

/** The parts of tensors in elements [from, to): the tensor's index, and which elements. */
export function* tensorsWithin(
  starts: Float64Array,
  from: number,
  to: number,
): Generator<[index: number, from: number, to: number]> {
  // The last tensor that starts at or before `from`.
  let [index, high] = [0, starts.length - 1];
  while (high - index > 1) {
    const middle = (index + high) >> 1;
    if (starts[middle]! <= from) index = middle;
    else high = middle;
  }
  for (; index < starts.length - 1 && starts[index]! < to; index++) {
    yield [index, Math.max(from, starts[index]!), Math.min(to, starts[index + 1]!)];
  }
}
