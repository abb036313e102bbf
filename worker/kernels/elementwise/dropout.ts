/** Dropout on the input of LoRA's A, as PEFT's `lora_dropout`. */
import { defineKernel } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
import type { Tensors } from "../../device/tensor.ts";
import { COUNTER_HASH, counterHash, type CounterKey } from "./counter_hash.ts";
import source from "./dropout.wgsl" with { type: "text" };
import { LINEAR_MAIN, linearGroups } from "./linear_index.ts";

const variant = (accumulate: boolean) =>
  defineKernel({
    label: "dropout",
    source: COUNTER_HASH + source + LINEAR_MAIN,
    constants: { ACCUMULATE: accumulate },
    params: { count: "u32", keyLow: "u32", keyHigh: "u32", threshold: "u32", scale: "f32" },
    bindings: { x: "read f32", y: "read_write f32" },
  });
const overwrite = variant(false);
const add = variant(true);

/** Whether an element is kept, by the arithmetic of dropout.wgsl. */
export function isKept(key: CounterKey, index: number, probability: number): boolean {
  return counterHash(key, index) >= thresholdOf(probability);
}

/**
 * y [count] = x · mask / (1 − probability); with `accumulate` added to y, which is the backward: the gradient passes
 * through the same mask.
 */
export function encodeDropout(
  pass: Pass,
  call: Tensors<"x" | "y"> & { count: number; key: CounterKey; probability: number; accumulate: boolean },
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
