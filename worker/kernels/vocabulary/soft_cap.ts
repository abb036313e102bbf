/**
 * Soft cap of the logits, as Gemma 2 has it: z becomes c · tanh(z / c). The cross entropy's backward knows the slope from the
 * result alone: 1 − tanh² = 1 − (result / c)².
 */
import { defineKernel, type KernelArguments } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
import { LINEAR_MAIN, linearGroups } from "../elementwise/linear_index.ts";
import { tanhSource } from "../elementwise/tanh.ts";

const softCap = defineKernel({
  label: "soft_cap",
  source: tanhSource("f32") + `
fn element(index: u32) { logits[index] = params.cap * tanh_of(logits[index] / params.cap); }` + LINEAR_MAIN,
  params: { count: "u32", cap: "f32" },
  bindings: { logits: "read_write f32" },
});

/** Replaces logits [count] by cap · tanh(logits / cap). */
export function encodeSoftCap(pass: Pass, call: KernelArguments<typeof softCap>): void {
  pass.dispatch(softCap, call, linearGroups(call.count));
}
