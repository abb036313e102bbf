/** The context that all encoders of one pass over a micro-batch share. */
import { type ByLinearRole, type LinearRole, linearRoles } from "../../shared/model/model_tensors.ts";
import type { LayerAttention, TransformerSpec } from "../../shared/model/transformer_spec.ts";
import type { Pass } from "../device/pass.ts";
import type { CounterKey } from "../kernels/elementwise/counter_hash.ts";
import { type GpuTensor, sliceTensor, type Tensors, type TensorsFor } from "../device/tensor.ts";
import {
  type DropoutPass,
  encodeLinear,
  encodeLinearBackward,
  encodeLoraInner,
  type Linear,
} from "./lora_linear.ts";
import type { activationSizes, workspaceSizes } from "../../shared/memory/buffer_sizes.ts";
import type { LayerNorms } from "./weights.ts";

export type Activations = TensorsFor<ReturnType<typeof activationSizes>>;
export type Workspace = TensorsFor<ReturnType<typeof workspaceSizes>>;

/** A decoder layer: its weights, and how it attends. */
export interface DecoderLayer {
  readonly norms: LayerNorms;
  readonly linears: ByLinearRole<Linear>;
  readonly attention: LayerAttention;
  /** Whether anything below this layer learns, so that the gradient must pass through it. */
  readonly passesGradient: boolean;
}

/** What makes training differ from evaluation. */
export interface TrainingPass {
  readonly dropout: DropoutPass | null;
  readonly embeddingNoise: { readonly key: CounterKey; readonly alpha: number } | null;
  /** The share of a target's probability that all tokens have alike. */
  readonly labelSmoothing: number;
  /** Whether labels have weights of their own in the loss. */
  readonly isWeighted: boolean;
}

/** Pairs of a query and a key that it sees, in layers without and with a window. */
export interface AttendedPairs {
  readonly whole: number;
  readonly windowed: number;
}

export interface PassContext {
  readonly pass: Pass;
  readonly spec: TransformerSpec;
  readonly workspace: Workspace;
  /** Of each of the model's ropes. */
  readonly ropeTables: readonly Tensors<"cos" | "sin">[];
  /** Tokens of this micro-batch. */
  readonly rows: number;
  /** What its queries see; null: not known, so that attention's time is told as for one document. */
  readonly pairs: AttendedPairs | null;
  /** Null: evaluation and generation. */
  readonly training: TrainingPass | null;
  /** Bytes from one linear layer's A·x to the next one's. */
  readonly loraInnerStride: number;
}

/** A layer in one pass: its weights, and the activations that its backward needs. */
export interface LayerPass {
  readonly context: PassContext;
  readonly layer: DecoderLayer;
  readonly kept: Activations;
}

/** y = (or +=, with `accumulate`) the result of linear layer `role` for x. */
export function project(
  at: LayerPass,
  role: LinearRole,
  x: GpuTensor,
  y: GpuTensor,
  accumulate = false,
): void {
  encodeLinear(at.context.pass, at.layer.linears[role]!, { ...callOf(at, role, x), y, accumulate });
}

/** A·x of linear layer `role`, without its result. */
export function projectInner(at: LayerPass, role: LinearRole, x: GpuTensor): void {
  encodeLoraInner(at.context.pass, at.layer.linears[role]!, callOf(at, role, x));
}

/** The backward of `project`: LoRA's gradients, and dx unless null. */
export function projectBackward(
  at: LayerPass,
  role: LinearRole,
  x: GpuTensor,
  dy: GpuTensor,
  dx: GpuTensor | null,
  accumulate = false,
): void {
  const { pass, workspace: { dLoraInner: dInner } } = at.context;
  encodeLinearBackward(pass, at.layer.linears[role]!, { ...callOf(at, role, x), dy, dInner, dx, accumulate });
}

function callOf({ context, kept }: LayerPass, role: LinearRole, x: GpuTensor) {
  const { spec, rows, training, loraInnerStride: stride } = context;
  const dropout = training?.dropout ?? null;
  const start = linearRoles(spec).indexOf(role) * stride;
  return { x, rows, inner: sliceTensor(kept.loraInner, `lora inner of ${role}`, start, stride), dropout };
}
