/**
 * A frozen NF4 linear layer with LoRA beside it: y = W·x + bias + s·B·(A·dropout(x)), forward and backward. The weight W never
 * gets a gradient; A and B do.
 */
import type { Pass } from "../device/pass.ts";
import type { GpuTensor } from "../device/tensor.ts";
import type { CounterKey } from "../kernels/elementwise/counter_hash.ts";
import { encodeDropout } from "../kernels/elementwise/dropout.ts";
import { encodeMatmul } from "../kernels/matmul/matmul.ts";
import { encodeNf4Matmul } from "../kernels/matmul/nf4_matmul.ts";
import type { LoraPlan } from "../../shared/memory/lora_plan.ts";
import type { FlatAdapter } from "./adapter/flat_adapter.ts";
import type { BaseLinear } from "./weights.ts";

/** LoRA of one linear layer on the GPU: parts of the flat adapter and of the flat gradient. */
interface LoraTensors {
  readonly a: GpuTensor;
  readonly b: GpuTensor;
  readonly dA: GpuTensor;
  readonly dB: GpuTensor;
  readonly rank: number;
  readonly scale: number;
  readonly moduleIndex: number;
}

export interface Linear {
  readonly base: BaseLinear;
  readonly lora: LoraTensors | null;
}

/** Dropout of one pass; null without it, as in evaluation. */
export interface DropoutPass {
  readonly probability: number;
  readonly keyOf: (moduleIndex: number) => CounterKey;
  /** [T, widest input] */
  readonly scratch: GpuTensor;
}

interface Call {
  /** [rows, in] */
  readonly x: GpuTensor;
  readonly rows: number;
  /** A·dropout(x) [rows, rank], kept from forward to backward. */
  readonly inner: GpuTensor;
  readonly dropout: DropoutPass | null;
}

/** LoRA's tensors by linear layer, cut out of the flat adapter and gradient. */
export function bindLora(
  plan: LoraPlan,
  flat: Pick<FlatAdapter, "tensorAt">,
  training: boolean,
): Map<string, LoraTensors> {
  // Without training nothing reads or writes them.
  const gradient = training ? "gradient" : "adapter";
  const bound = new Map<string, LoraTensors>();
  for (const [name, { index, a, b, rank, scale }] of plan.modules) {
    bound.set(name, {
      a: flat.tensorAt("adapter", a),
      b: flat.tensorAt("adapter", b),
      dA: flat.tensorAt(gradient, a),
      dB: flat.tensorAt(gradient, b),
      rank,
      scale,
      moduleIndex: index,
    });
  }
  return bound;
}

/** y [rows, out] = (or +=, with `accumulate`) the layer's result for x [rows, in]. */
export function encodeLinear(
  pass: Pass,
  linear: Linear,
  call: Call & { y: GpuTensor; accumulate: boolean },
): void {
  const { x, y, rows, inner, accumulate } = call;
  const { weight, bias } = linear.base;
  encodeBase(pass, weight, { a: x, out: y, m: rows, layout: "nt", accumulate, ...(bias && { bias }) });
  if (linear.lora === null) return;
  encodeLoraInner(pass, linear, call);
  const { b, rank, scale } = linear.lora;
  const shape = { m: rows, n: weight.rows, k: rank };
  encodeMatmul(pass, { a: inner, b, out: y, ...shape, layout: "nt", alpha: scale, accumulate: true });
}

/** The product with the frozen weight, in the form that it has. */
function encodeBase(
  pass: Pass,
  weight: BaseLinear["weight"],
  call: Omit<Parameters<typeof encodeNf4Matmul>[1], "weight">,
): void {
  if ("codes" in weight) return encodeNf4Matmul(pass, { ...call, weight });
  const [n, k] = call.layout === "nt" ? [weight.rows, weight.columns] : [weight.columns, weight.rows];
  encodeMatmul(pass, { ...call, b: weight.values, n, k });
}

/** inner [rows, rank] = A·dropout(x): all of the forward that the layer's own gradients need. */
export function encodeLoraInner(pass: Pass, linear: Linear, call: Call): void {
  if (linear.lora === null) return;
  const { a, rank } = linear.lora;
  const dropped = encodeDropped(pass, linear, call);
  const k = linear.base.weight.columns;
  encodeMatmul(pass, { a: dropped, b: a, out: call.inner, m: call.rows, n: rank, k, layout: "nt" });
}

/**
 * The backward of `encodeLinear`: writes LoRA's gradients, and dx [rows, in] unless null.
 * @param call.dy [rows, out]
 * @param call.dInner scratch [rows, rank]
 * @param call.dx null if nothing below the layer learns
 */
export function encodeLinearBackward(
  pass: Pass,
  linear: Linear,
  call: Call & { dy: GpuTensor; dInner: GpuTensor; dx: GpuTensor | null; accumulate: boolean },
): void {
  const { rows, inner, dropout, dy, dInner, dx, accumulate } = call;
  const { weight } = linear.base;
  const { rows: out, columns: width } = weight;
  if (dx !== null) encodeBase(pass, weight, { a: dy, out: dx, m: rows, layout: "nn", accumulate });
  if (linear.lora === null) return;
  const { a, b, dA, dB, rank, scale, moduleIndex } = linear.lora;
  encodeMatmul(pass, { a: dy, b, out: dInner, m: rows, n: rank, k: out, layout: "nn", alpha: scale });
  encodeMatmul(pass, { a: dy, b: inner, out: dB, m: out, n: rank, k: rows, layout: "tn", alpha: scale });
  const dropped = encodeDropped(pass, linear, call);
  encodeMatmul(pass, { a: dInner, b: dropped, out: dA, m: rank, n: width, k: rows, layout: "tn" });
  if (dx === null) return;
  const product = { a: dInner, b: a, m: rows, n: width, k: rank, layout: "nn" } as const;
  if (dropout === null) return encodeMatmul(pass, { ...product, out: dx, accumulate: true });
  const { scratch: dDropped, probability, keyOf } = dropout;
  encodeMatmul(pass, { ...product, out: dDropped });
  const count = rows * width;
  encodeDropout(pass, { x: dDropped, y: dx, count, key: keyOf(moduleIndex), probability, accumulate: true });
}

/** dropout(x), in the scratch; x itself without dropout. */
function encodeDropped(pass: Pass, linear: Linear, call: Call): GpuTensor {
  const { x, rows, dropout } = call;
  if (dropout === null || linear.lora === null) return x;
  const { scratch, probability } = dropout;
  const key = dropout.keyOf(linear.lora.moduleIndex);
  const count = rows * linear.base.weight.columns;
  encodeDropout(pass, { x, y: scratch, count, key, probability, accumulate: false });
  return scratch;
}
