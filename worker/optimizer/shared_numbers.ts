/**
 * Arrays of 32-bit numbers in memory that all threads of a worker share, each at the start of a WebAssembly memory, so that
 * kernels compute in it. The operating system gives a page when it is first written.
 */
import { LoraFleetError } from "../../shared/errors.ts";
import type { GradientLayout } from "../../shared/model/gradient_layout.ts";
import type { AdamWState } from "./adamw_state.ts";
import { MAX_PAGES } from "../../shared/std/wasm.ts";

const PAGE_BYTES = 65536;
/** 4 GiB of 32-bit numbers. */
const MAX_ELEMENTS = MAX_PAGES * PAGE_BYTES / 4;

/** One memory for each array of a state. */
export type StateMemories = { readonly [K in keyof AdamWState]: WebAssembly.Memory };

/**
 * Zeros.
 * @throws LoraFleetError `does_not_fit`
 */
export function allocateNumbers({ elementCount }: Pick<GradientLayout, "elementCount">): WebAssembly.Memory {
  const what = `Allocating ${elementCount} numbers for the optimizer failed`;
  if (elementCount > MAX_ELEMENTS) {
    throw new LoraFleetError("does_not_fit", `${what}: an adapter may have ${MAX_ELEMENTS} elements`);
  }
  const pages = Math.ceil(4 * elementCount / PAGE_BYTES);
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  } catch (cause) {
    throw new LoraFleetError("does_not_fit", `${what}: this machine does not have the memory`, { cause });
  }
}

export function allocateState(layout: Pick<GradientLayout, "elementCount">): StateMemories {
  const zeros = () => allocateNumbers(layout);
  return { adapter: zeros(), firstMoment: zeros(), secondMoment: zeros() };
}

export const floatsIn = ({ buffer }: WebAssembly.Memory, elementCount: number): Float32Array =>
  new Float32Array(buffer, 0, elementCount);

export const integersIn = ({ buffer }: WebAssembly.Memory, elementCount: number): Int32Array =>
  new Int32Array(buffer, 0, elementCount);

/** The arrays without a copy. */
export function viewOf(state: StateMemories, elementCount: number): AdamWState {
  return {
    adapter: floatsIn(state.adapter, elementCount),
    firstMoment: floatsIn(state.firstMoment, elementCount),
    secondMoment: floatsIn(state.secondMoment, elementCount),
  };
}

/**
 * Whether two arrays are the same memory. A shared buffer that has been to another thread and back is a different object, so a number
 * is changed for a moment; no other thread may be using them.
 */
export function isSameMemory(a: Int32Array, b: Int32Array): boolean {
  if (a.buffer === b.buffer) return a.byteOffset === b.byteOffset;
  if (!(a.buffer instanceof SharedArrayBuffer && b.buffer instanceof SharedArrayBuffer)) return false;
  const before = a[0]!;
  a[0] = ~before;
  const isSame = b[0] === a[0];
  a[0] = before;
  return isSame && b[0] === before;
}
