/** RMSNorm, forward and backward; the formulas are in the WGSL. */
import { defineKernel, type Kernel, type KernelArguments } from "../../device/kernel.ts";
import type { Pass } from "../../device/pass.ts";
import { foldGroups } from "../elementwise/linear_index.ts";
import forwardSource from "./rms_norm.wgsl" with { type: "text" };
import backwardSource from "./rms_norm_backward.wgsl" with { type: "text" };

/**
 * Lanes that share a row. CPU drivers run a workgroup as vectors of 8 lanes and switch between them at each barrier, which
 * costs more than the row's arithmetic; a single vector never switches.
 */
const GPU_LANES = 64;
const CPU_LANES = 8;

const forwardOf = (lanes: number, accumulate: boolean) =>
  defineKernel({
    label: "rms_norm",
    source: forwardSource,
    constants: { LANES: lanes, ACCUMULATE: accumulate },
    params: { rows: "u32", columns: "u32", epsilon: "f32" },
    bindings: { x: "read f32", weight: "read f32", y: "read_write f32", rstd: "read_write f32" },
  });

const backwardOf = (lanes: number) =>
  defineKernel({
    label: "rms_norm_backward",
    source: backwardSource,
    constants: { LANES: lanes },
    params: { rows: "u32", columns: "u32" },
    bindings: { x: "read f32", weight: "read f32", rstd: "read f32", dy: "read f32", dx: "read_write f32" },
  });

const forward = { cpu: forwardOf(CPU_LANES, false), gpu: forwardOf(GPU_LANES, false) };
const forwardAdding = { cpu: forwardOf(CPU_LANES, true), gpu: forwardOf(GPU_LANES, true) };
const backward = { cpu: backwardOf(CPU_LANES), gpu: backwardOf(GPU_LANES) };
const kindOf = (pass: Pass) => pass.processor.isCpu ? "cpu" : "gpu";

/** `kind` replaces the choice by processor, for tests. */
type Call<K extends Kernel> = KernelArguments<K> & { kind?: "cpu" | "gpu" };

/** y [rows, columns] = (or +=, with `accumulate`) RMSNorm(x) · weight [columns]; keeps rstd [rows] for the backward pass. */
export function encodeRmsNorm(
  pass: Pass,
  call: Call<typeof forward.gpu> & { readonly accumulate?: boolean },
): void {
  const kernels = call.accumulate ? forwardAdding : forward;
  pass.dispatch(kernels[call.kind ?? kindOf(pass)], call, foldGroups(call.rows));
}

/** dx [rows, columns] += the gradient of RMSNorm's input, from dy [rows, columns] and the forward's x and rstd. */
export function encodeRmsNormBackward(pass: Pass, call: Call<typeof backward.gpu>): void {
  pass.dispatch(backward[call.kind ?? kindOf(pass)], call, foldGroups(call.rows));
}
