/** Dropout on the input of LoRA's A, as PEFT's `lora_dropout`. */
import { defineKernel } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
import type { Tensors } from "../../device/tensor.ts";
import source from "./dropout.wgsl" with { type: "text" };
import { LINEAR_MAIN, linearGroups } from "./linear_index.ts";

const variant = (accumulate: boolean) =>
  defineKernel({
    label: "dropout",
    source: source + LINEAR_MAIN,
    constants: { ACCUMULATE: accumulate },
    params: { count: "u32", keyLow: "u32", keyHigh: "u32", threshold: "u32", scale: "f32" },
    bindings: { x: "read f32", y: "read_write f32" },
  });
const overwrite = variant(false);
const add = variant(true);

/** Identifies one dropout mask of a job. */
export interface DropoutKey {
  readonly low: number;
  readonly high: number;
}

/** The key of one module's mask in one micro-batch. Every u32 triple gives its own key: no two masks are shared. */
export function dropoutKey(seed: number, microBatchNumber: number, moduleIndex: number): DropoutKey {
  return {
    low: (pcg(seed) ^ Math.imul(microBatchNumber, 0x9e37_79b1)) >>> 0,
    high: pcg((Math.imul(moduleIndex, 0x85eb_ca6b) ^ pcg(microBatchNumber)) >>> 0),
  };
}

/** Whether an element is kept, by the arithmetic of dropout.wgsl. */
export function isKept(key: DropoutKey, index: number, probability: number): boolean {
  return pcg((pcg((index ^ key.low) >>> 0) ^ key.high) >>> 0) >= thresholdOf(probability);
}

/**
 * y [count] = x · mask / (1 − probability); with `accumulate` added to y, which is the backward: the gradient passes
 * through the same mask.
 */
export function encodeDropout(
  pass: Pass,
  call: Tensors<"x" | "y"> & { count: number; key: DropoutKey; probability: number; accumulate: boolean },
): void {
  const { x, y, count, key: { low: keyLow, high: keyHigh }, probability, accumulate } = call;
  const params = {
    count,
    keyLow,
    keyHigh,
    threshold: thresholdOf(probability),
    scale: 1 / (1 - probability),
  };
  pass.dispatch(accumulate ? add : overwrite, { ...params, x, y }, linearGroups(count));
}

function thresholdOf(probability: number): number {
  return Math.min(2 ** 32 - 1, Math.round(probability * 2 ** 32));
}

function pcg(value: number): number {
  const state = (Math.imul(value, 747796405) + 2891336453) >>> 0;
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
  return ((word >>> 22) ^ word) >>> 0;
}
