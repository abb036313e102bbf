/**
 * The loops of an update, cut into pieces that several threads take one after the other. Which thread computes a piece has no
 * influence on its bits: a tensor's squares are added by one thread, in their order, and elements do not depend on each other.
 */
import { adamwKernel, type Coefficients, type MemoryName } from "../wasm/adamw_kernel.ts";

/** What all threads need; memories and shared arrays stay shared when it is posted. */
export type UpdateWork =
  & {
    readonly memories: Readonly<Record<MemoryName, WebAssembly.Memory>>;
    /** First element of each tensor, then the number of all elements. */
    readonly starts: Float64Array;
    /** Shared [1]: the next piece that no thread has taken. */
    readonly taken: Int32Array;
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
  );

/** Elements of a piece of the update: 1.75 MiB of numbers. */
export const PIECE_ELEMENTS = 2 ** 16;

/** Computes pieces until none is left. */
export function work(on: UpdateWork): void {
  const { memories, starts, taken } = on;
  const kernel = adamwKernel(memories);
  const tensorCount = starts.length - 1;
  if (on.kind === "squares") {
    for (let index = take(taken); index < tensorCount; index = take(taken)) {
      on.squares[index] = kernel.squares(starts[index]!, starts[index + 1]!);
    }
    return;
  }
  const elementCount = starts[tensorCount]!;
  for (let at = take(taken) * PIECE_ELEMENTS; at < elementCount; at = take(taken) * PIECE_ELEMENTS) {
    const end = Math.min(at + PIECE_ELEMENTS, elementCount);
    for (const [index, from, to] of tensorsWithin(starts, at, end)) {
      kernel.update(from, to, on.factors[index]!, on.coefficients);
    }
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
