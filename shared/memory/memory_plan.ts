/**
 * The static memory plan: every GPU buffer of a fine-tune, known before the first allocation. Buffers are allocated from the same
 * sizes, so that plan and allocation cannot differ.
 */
import { modelTensors } from "../model/model_tensors.ts";
import type { TransformerSpec } from "../model/transformer_spec.ts";
import { DYNAMIC_MAP } from "../checkpoint/nf4/nf4_absmax.ts";
import type { AdapterPart } from "./adapter_parts.ts";
import type { LoraPlan } from "./lora_plan.ts";
import {
  adapterSizes,
  allocationSize,
  chunkColumns,
  F32,
  headRowsOf,
  linearSizes,
  type PlanOptions,
  type Sizes,
  workspaceSizes,
} from "./buffer_sizes.ts";
import { activationSlabs } from "./activation_slabs.ts";
import { formatBytes } from "./format_bytes.ts";
import { recomputedShare } from "./layer_products.ts";
import { adviceOf } from "./memory_plan_advice.ts";
import { slabsOf, tableBytes, type TableFormat } from "./table_sizes.ts";
import { trainedLayers } from "./trained_layers.ts";

export interface PlanGroup {
  readonly name: string;
  readonly bytes: number;
  readonly detail: string;
  /** How to make it smaller: a clause after "to save memory there". */
  readonly advice: string;
  /** No field of a job makes it smaller. */
  readonly isFixed: boolean;
}

export interface MemoryPlan {
  /** In printing order. */
  readonly groups: readonly PlanGroup[];
  readonly totalBytes: number;
  /** Layers that keep their activations from forward to backward, and what each of them takes. */
  readonly keptLayers: number;
  readonly layerBytes: number;
  /** The largest single buffer, and the advice of its group. */
  readonly largest: { readonly name: string; readonly bytes: number; readonly advice: string };
}

/** Adds up all buffers of a fine-tune or, with `training` false, of an evaluation. */
export function planMemory(spec: TransformerSpec, lora: LoraPlan, options: PlanOptions): MemoryPlan {
  const { maxTokens, training } = options;
  const base = baseSizes(spec, options);
  const layers = training ? options.keptLayers : 1;
  const residuals = training ? spec.layerCount + 1 : 2;
  const slabs = activationSlabs(spec, lora, options);
  const layerBytes = allocated(slabs.each);
  const workspace = workspaceSizes(spec, lora, options);
  const adapter = adapterSizes(lora, options);
  const advice = adviceOf(spec, lora, options);
  const groups: PlanGroup[] = [
    {
      ...advice.base,
      name: "base model, NF4",
      bytes: base.nf4,
      detail: `${base.linearCount} linear layers${options.doubleQuantization ? ", double quantisation" : ""}`,
    },
    ...(["f32", "bf16", "f16"] as const).filter((format) => base.plain[format] > 0).map((format) => ({
      ...advice.base,
      name: `base model, ${format}`,
      bytes: base.plain[format],
      detail: tablesDetail(spec, options, format),
    })),
    {
      ...advice.adapter,
      name: "adapter and its gradient",
      bytes: adapter.parts.reduce((sum, { sizes }) => sum + allocated(sizes), allocated(adapter.shared)),
      detail: `${lora.layout.parameterCount} LoRA parameters; moments stay in host memory`,
    },
    {
      ...advice.activations,
      name: "activations",
      bytes: layers * layerBytes + allocated(slabs.shared) + residuals * maxTokens * spec.hiddenSize * F32,
      detail: `${maxTokens} tokens, ${
        training ? keptDetail(spec, lora, options, layerBytes) : "one layer's"
      }`,
    },
    {
      ...advice.workspace,
      name: "workspace",
      bytes: allocated(workspace),
      detail: `logits ${headRowsOf(options)}×${chunkColumns(spec, options)}`,
    },
  ];
  const buffers = [
    ...buffersOf({ ...slabs.each, ...slabs.shared }, advice.activations),
    ...buffersOf(workspace, advice.workspace),
    ...adapter.parts.flatMap(({ part, sizes }) => buffersOf(sizes, advice.adapter, nameOfPart(lora, part))),
    ...buffersOf({ "largest linear layer": base.largestLinear }, advice.base),
  ];
  return {
    groups,
    totalBytes: groups.reduce((total, group) => total + group.bytes, 0),
    ...{ keptLayers: layers, layerBytes },
    largest: buffers.reduce((largest, buffer) => buffer.bytes > largest.bytes ? buffer : largest),
  };
}

/** Bytes of the weights in each form; a tied output layer is the embeddings' buffers. */
function baseSizes(spec: TransformerSpec, options: PlanOptions) {
  const slabs = slabsOf(spec.vocabSize, chunkColumns(spec, options));
  const plain: Record<TableFormat, number> = { f32: 0, bf16: 0, f16: 0 };
  const sizes = { nf4: DYNAMIC_MAP.byteLength, plain, linearCount: 0, largestLinear: 0 };
  for (const { kind, role, shape } of modelTensors(spec)) {
    if (kind === "linear") {
      const linear = linearSizes(shape[0]!, shape[1]!, options);
      sizes.nf4 += allocated(linear);
      sizes.linearCount++;
      sizes.largestLinear = Math.max(sizes.largestLinear, linear.codes);
    } else if (kind !== "table") {
      plain.f32 += shape.reduce((product, size) => product * size, F32);
    } else if (role !== "head" || !spec.tieWordEmbeddings) {
      const format = options.tables?.[role] ?? "f32";
      for (const { rowCount } of slabs) {
        plain[format] += allocationSize(tableBytes(format, rowCount * spec.hiddenSize));
      }
    }
  }
  return sizes;
}

/** What of the base model lies in a format. */
function tablesDetail(spec: TransformerSpec, { tables }: PlanOptions, format: TableFormat): string {
  const has = (role: "embeddings" | "head") => (tables?.[role] ?? "f32") === format;
  const embeddings = `embeddings ${spec.vocabSize}×${spec.hiddenSize}`;
  return [
    ...has("embeddings") ? [spec.tieWordEmbeddings ? `${embeddings}, tied` : embeddings] : [],
    ...has("head") && !spec.tieWordEmbeddings ? ["output layer"] : [],
    ...format === "f32" ? ["norms"] : [],
  ].join(", ");
}

function allocated(sizes: Sizes): number {
  return Object.values(sizes).reduce((total, bytes) => total + allocationSize(bytes), 0);
}

function buffersOf(
  sizes: Sizes,
  { advice }: { readonly advice: string },
  suffix = "",
): MemoryPlan["largest"][] {
  return Object.entries(sizes).map(([name, bytes]) => ({ name: name + suffix, bytes, advice }));
}

/** A part of one tensor is the one that can exceed a binding: it is told by the tensor's name. */
function nameOfPart({ layout }: LoraPlan, { firstTensor, endTensor }: AdapterPart): string {
  return endTensor === firstTensor + 1 ? ` ${layout.tensors[firstTensor]!.name}` : "";
}

/** Which layers keep their activations, what each one takes, and what it costs that others do not. */
function keptDetail(
  spec: TransformerSpec,
  lora: LoraPlan,
  { keptLayers: kept, remakesActivations }: PlanOptions,
  layerBytes: number,
): string {
  const trained = trainedLayers(spec, lora);
  const each = `${formatBytes(layerBytes)} each${remakesActivations ? " without norms and gated unit" : ""}`;
  if (kept >= trained) return `all ${trained} layers' are kept, ${each}`;
  const share = (100 * recomputedShare(spec, lora)).toFixed(1);
  return `${kept} of ${trained} layers' are kept, ${each}; each other is computed again, about ${share} % of a step`;
}
