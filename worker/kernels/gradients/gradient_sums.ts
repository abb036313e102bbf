/**
 * Turns a micro-batch's gradient into integer sums that do not depend on order (decision 0001). The flat gradient consists
 * of blocks of 64 elements, each within one LoRA tensor; `tensorOfBlock` names it.
 */
import { defineKernel, type KernelArguments } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
import maxAbsSource from "./max_abs.wgsl" with { type: "text" };
import { foldGroups, LINEAR_MAIN, linearGroups } from "../elementwise/linear_index.ts";

/** Elements per workgroup of max_abs.wgsl. */
const MAX_ABS_GROUP_SIZE = 1024;

const maxAbs = defineKernel({
  label: "max_abs",
  source: maxAbsSource,
  params: { count: "u32" },
  bindings: { gradient: "read vec4<f32>", tensorOfBlock: "read u32", maxBits: "read_write atomic<u32>" },
});

const accumulate = defineKernel({
  label: "accumulate_gradient",
  // round() takes ties to even; scales are powers of two, so the product itself is exact.
  source: `
fn element(index: u32) {
  sums[index] += i32(round(gradient[index] * scales[tensorOfBlock[index / 64u]]));
}` + LINEAR_MAIN,
  params: { count: "u32" },
  bindings: { gradient: "read f32", tensorOfBlock: "read u32", scales: "read f32", sums: "read_write i32" },
});

/**
 * Raises maxBits [tensors] to the bits of each tensor's largest |gradient|, as unsigned integers: clear it first. Infinity and
 * NaN come out as such: their bits are above those of all numbers.
 * @param call.count elements of the flat gradient, a multiple of 64
 */
export function encodeMaxAbs(pass: Pass, call: KernelArguments<typeof maxAbs>): void {
  pass.dispatch(maxAbs, call, foldGroups(Math.ceil(call.count / MAX_ABS_GROUP_SIZE)));
}

/**
 * sums [count] += round(gradient · scale of the tensor), as integers.
 * @param call.scales 2^−exponent of each tensor [tensors]
 */
export function encodeAccumulateGradient(pass: Pass, call: KernelArguments<typeof accumulate>): void {
  pass.dispatch(accumulate, call, linearGroups(call.count));
}
