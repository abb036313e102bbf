/** Whether a job fits a GPU: the worker's own memory plan, made before there is a worker. */
import { planLora } from "../../shared/memory/lora_plan.ts";
import { planHostMemory } from "../../shared/memory/host_memory.ts";
import { keepWithin } from "../../shared/memory/kept_layers.ts";
import { type MemoryPlan, planMemory } from "../../shared/memory/memory_plan.ts";
import type { TableFormats } from "../../shared/memory/table_sizes.ts";
import { trainedLayers } from "../../shared/memory/trained_layers.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import type { PlannedJob } from "../planning/planned_job.ts";
import { CARD_TENSOR_BYTES } from "./cards.ts";

export interface MemoryEstimate {
  readonly name: string;
  /** Null if the GPU's memory is unknown. */
  readonly available_bytes: number | null;
  /** The least with which the job trains. */
  readonly needed_bytes: number;
  /** Null if `available_bytes` is. */
  readonly fits: boolean | null;
  /** Whether activations are computed again. */
  readonly gradient_checkpointing: boolean;
  /** Layers that keep their activations, and those that a gradient passes: as many as fit are kept. Null: unknown. */
  readonly kept_layers: number | null;
  readonly trained_layers: number;
  /** With those. */
  readonly planned_bytes: number | null;
  /** Main memory of the worker's process, beside a GPU with memory of its own. */
  readonly host_bytes: number;
  /** Of `needed_bytes`. */
  readonly parts: readonly { readonly name: string; readonly bytes: number; readonly detail: string }[];
  /** How to make it fit; null if it does. */
  readonly advice: string | null;
}

/** Of a rented machine, for one card. */
const TYPICAL_PROCESSORS = 8;

/** What of a planned job decides its memory. */
export type Sizes = Pick<PlannedJob, "spec" | "maxTokensPerMicroBatch" | "maxPositions" | "evaluation"> & {
  /** Left out: in f32. */
  readonly tables?: TableFormats;
};

/** @param availableBytes null if unknown */
export function estimateMemory(
  name: string,
  model: TransformerSpec,
  { spec, maxTokensPerMicroBatch: maxHeadRows, maxPositions, evaluation, tables }: Sizes,
  availableBytes: number | null,
): MemoryEstimate {
  const options = {
    maxTokens: Math.max(maxHeadRows, evaluation?.maxTokens ?? 0),
    maxHeadRows,
    maxPositions,
    doubleQuantization: spec.quantization.bnb_4bit_use_double_quant,
    maxTensorBytes: CARD_TENSOR_BYTES,
    training: true,
    ...tables && { tables },
  };
  const lora = planLora(model, spec.lora);
  const trained = trainedLayers(model, lora);
  const isAllKept = !spec.training.gradient_checkpointing;
  const plan = planMemory(model, lora, { ...options, keptLayers: isAllKept ? trained : 1 });
  const isTooLarge = plan.largest.bytes > CARD_TENSOR_BYTES;
  const isOver = availableBytes !== null && plan.totalBytes > availableBytes;
  const fits = isTooLarge ? false : availableBytes === null ? null : !isOver;
  const kept = isAllKept
    ? { keptLayers: trained }
    : availableBytes === null
    ? null
    : keepWithin(model, lora, options, availableBytes);
  const keptLayers = kept?.keptLayers ?? null;
  return {
    name,
    available_bytes: availableBytes,
    needed_bytes: plan.totalBytes,
    fits,
    gradient_checkpointing: keptLayers === null || keptLayers < trained,
    kept_layers: keptLayers,
    trained_layers: trained,
    planned_bytes: kept === null ? null : planMemory(model, lora, { ...options, ...kept }).totalBytes,
    host_bytes: planHostMemory(model, lora, TYPICAL_PROCESSORS, spec.fleet.local_steps !== null).totalBytes,
    parts: plan.groups.map(({ name, bytes, detail }) => ({ name, bytes, detail })),
    advice: isTooLarge ? plan.largest.advice : isOver ? adviceOf(plan) : null,
  };
}

/** On the largest part that the job's fields change, unless the base model alone is larger than all the rest. */
function adviceOf({ groups }: MemoryPlan): string {
  const byBytes = groups.toSorted((a, b) => b.bytes - a.bytes);
  return (byBytes.find(({ isFixed }) => !isFixed) ?? byBytes[0]!).advice;
}
