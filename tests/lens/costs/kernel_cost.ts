/** What a dispatch costs, told by its params, its constants and the tensors that it binds. */
import type { RecordedDispatch } from "../fake_gpu/recorded.ts";

export interface KernelCost {
  /** A group of dispatches in the report. */
  readonly kind: string;
  /** Additions, multiplications, and others as one each, that the result needs. */
  readonly flops: number;
  /** What the invocations execute, with what falls outside of `flops` in a tile; equal to `flops` if left out. */
  readonly issuedFlops?: number;
  /** Bytes that are read of each binding, each element once. */
  readonly reads: Readonly<Record<string, number>>;
  /** Bytes that are written of each binding. */
  readonly writes: Readonly<Record<string, number>>;
}

export type CostOf = (dispatch: RecordedDispatch) => KernelCost;

/** Bytes of an f32, an i32 and a u32. */
export const WORD = 4;

/** Bytes of one of a table's numbers, which are in 16 bits with the constant HALF. */
export function numberBytes({ constants }: RecordedDispatch): number {
  return constants["HALF"] ? WORD / 2 : WORD;
}

/** A param, constant or binding that a formula needs. */
export function valueOf(values: Readonly<Record<string, number>>, name: string): number {
  const value = values[name];
  if (value === undefined) {
    throw new RangeError(`a formula needs "${name}"; there is ${Object.keys(values).join(", ")}`);
  }
  return value;
}

/**
 * The part of a divisible kernel's grid that a dispatch computes, as elements [from, to) along x or y.
 * @param size elements of a workgroup along that dimension
 * @param count elements along it in all
 */
export function spanOf(
  { params, groups }: Pick<RecordedDispatch, "params" | "groups">,
  dimension: "X" | "Y",
  size: number,
  count: number,
): readonly [from: number, to: number] {
  const first = valueOf(params, `firstGroup${dimension}`);
  const groupCount = groups[dimension === "X" ? 0 : 1];
  return [Math.min(count, first * size), Math.min(count, (first + groupCount) * size)];
}

/** The u32s of a small binding. */
export function indicesOf({ bindings, kernel }: RecordedDispatch, name: string, count: number): Uint32Array {
  const bound = bindings[name];
  if (bound === undefined) throw new RangeError(`${kernel} has no binding "${name}"`);
  return bound.buffer.words(bound.offset, WORD * count);
}
