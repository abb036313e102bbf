/**
 * The contract of every kernel: it agrees with its f64 CPU reference, writes every element of its outputs and nothing
 * behind them, and gives the same bits on a second run. Outputs are poisoned with NaN first, so that a kernel that did not
 * run cannot pass on an earlier one's results.
 */
import { assert } from "@std/assert";
import type { Gpu } from "../../device/gpu.ts";
import type { Pass } from "../../device/pass.ts";
import type { GpuTensor } from "../../device/tensor.ts";
import { testGpu } from "../../device/testing/test_gpu.ts";

/** Elements behind each output that must keep the poison. */
const GUARD_COUNT = 64;

type InputArray = Float32Array | Uint32Array | Int32Array | Uint8Array | Float16Array;

interface KernelCase<I extends string, O extends string> {
  /** Names the case in a failure: the kernel and its sizes. */
  readonly label: string;
  readonly inputs: { readonly [K in I]: InputArray };
  /** Initial values of outputs that the kernel adds to or changes in place; the others start as NaN. */
  readonly initial?: { readonly [K in O]?: Float32Array | Int32Array };
  /** The CPU reference's results. */
  readonly expected: { readonly [K in O]: ArrayLike<number> };
  readonly encode: (pass: Pass, tensors: { readonly [K in I | O]: GpuTensor }) => void;
  /** Largest allowed error of an element; see `f32Tolerance`. 0 for bit-exact kernels. */
  readonly tolerance: number | { readonly [K in O]: number };
  /** Outputs whose elements are integers; all others are f32. */
  readonly integerOutputs?: readonly O[];
}

/** Runs a kernel twice and checks it against its reference. */
export async function checkKernel<I extends string, O extends string>(
  kernelCase: KernelCase<I, O>,
): Promise<void> {
  const gpu = await testGpu();
  const first = await runOnce(gpu, kernelCase);
  const second = await runOnce(gpu, kernelCase);
  for (const name of Object.keys(kernelCase.expected) as O[]) {
    const expected = kernelCase.expected[name];
    const [got, again] = [first[name], second[name]];
    const tolerance = typeof kernelCase.tolerance === "number"
      ? kernelCase.tolerance
      : kernelCase.tolerance[name];
    const where = `${kernelCase.label}: output "${name}"`;
    for (let i = 0; i < expected.length; i++) {
      const error = Math.abs(got[i]! - expected[i]!);
      assert(
        error <= tolerance || Object.is(got[i], expected[i]),
        `${where}[${i}] is ${got[i]}, the reference gives ${
          expected[i]
        } (error ${error}, allowed ${tolerance})`,
      );
      assert(
        Object.is(got[i], again[i]),
        `${where}[${i}] is ${got[i]} in one run and ${again[i]} in the next`,
      );
    }
    const words = new Uint32Array(got.buffer, got.byteOffset, got.length);
    for (let i = expected.length; i < got.length; i++) {
      assert(
        words[i] === POISON,
        `${where}: element ${i}, behind its ${expected.length}, was overwritten by ${got[i]}`,
      );
    }
  }
}

/** A quiet NaN with a payload, which distinguishes an untouched element from a computed NaN. */
const POISON = 0x7fc0_5afe;

async function runOnce<I extends string, O extends string>(
  gpu: Gpu,
  kernelCase: KernelCase<I, O>,
): Promise<Record<O, Float32Array | Int32Array>> {
  const tensors = {} as Record<I | O, GpuTensor>;
  const outputs = Object.keys(kernelCase.expected) as O[];
  const created: GpuTensor[] = [];
  for (const name of Object.keys(kernelCase.inputs) as I[]) {
    created.push(tensors[name] = gpu.upload(name, kernelCase.inputs[name]));
  }
  for (const name of outputs) {
    const words = new Uint32Array(kernelCase.expected[name].length + GUARD_COUNT).fill(POISON);
    const initial = kernelCase.initial?.[name];
    if (initial) words.set(new Uint32Array(initial.buffer, initial.byteOffset, initial.length));
    created.push(tensors[name] = gpu.upload(name, words));
  }
  try {
    kernelCase.encode(gpu.pass, tensors);
    const results = {} as Record<O, Float32Array | Int32Array>;
    for (const name of outputs) {
      const bytes = await gpu.read(tensors[name]);
      results[name] = kernelCase.integerOutputs?.includes(name)
        ? new Int32Array(bytes)
        : new Float32Array(bytes);
    }
    return results;
  } finally {
    for (const { buffer } of created) buffer.destroy();
  }
}
