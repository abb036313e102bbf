/** Whether a job fits a GPU: the worker's own memory plan, made before there is a worker. */
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import type { PlanOptions } from "../../shared/memory/buffer_sizes.ts";
import { planLora } from "../../shared/memory/lora_plan.ts";
import { type MemoryPlan, needsCheckpointing, planMemory } from "../../shared/memory/memory_plan.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import type { PlannedJob } from "../planning/planned_job.ts";
import { CARD_TENSOR_BYTES } from "./cards.ts";

export interface MemoryEstimate {
  readonly name: string;
  /** Null if the GPU's memory is unknown. */
  readonly available_bytes: number | null;
  readonly needed_bytes: number;
  /** Null if `available_bytes` is. */
  readonly fits: boolean | null;
  readonly gradient_checkpointing: boolean;
  readonly parts: readonly { readonly name: string; readonly bytes: number; readonly detail: string }[];
  /** How to make it fit; null if it does. */
  readonly advice: string | null;
}

/** What of a planned job decides its memory. */
export type Sizes = Pick<PlannedJob, "spec" | "maxTokensPerMicroBatch" | "maxPositions" | "evaluation">;

/** @param availableBytes null if unknown */
export function estimateMemory(
  name: string,
  model: TransformerSpec,
  { spec, maxTokensPerMicroBatch: maxHeadRows, maxPositions, evaluation }: Sizes,
  availableBytes: number | null,
): MemoryEstimate {
  const options = {
    maxTokens: Math.max(maxHeadRows, evaluation?.maxTokens ?? 0),
    maxHeadRows,
    maxPositions,
    doubleQuantization: spec.quantization.bnb_4bit_use_double_quant,
    maxTensorBytes: CARD_TENSOR_BYTES,
    training: true,
  };
  const plan = planTraining(model, spec, options, availableBytes);
  const isTooLarge = plan.largest.bytes > CARD_TENSOR_BYTES;
  const isOver = availableBytes !== null && plan.totalBytes > availableBytes;
  const fits = isTooLarge ? false : availableBytes === null ? null : !isOver;
  return {
    name,
    available_bytes: availableBytes,
    needed_bytes: plan.totalBytes,
    fits,
    gradient_checkpointing: plan.gradientCheckpointing,
    parts: plan.groups.map(({ name, bytes, detail }) => ({ name, bytes, detail })),
    advice: isTooLarge ? plan.largest.advice : isOver ? adviceOf(plan) : null,
  };
}

function planTraining(
  model: TransformerSpec,
  spec: JobSpec,
  options: Omit<PlanOptions, "gradientCheckpointing">,
  availableBytes: number | null,
): MemoryPlan & { readonly gradientCheckpointing: boolean } {
  const lora = planLora(model, spec.lora);
  const gradientCheckpointing = spec.training.gradient_checkpointing &&
    needsCheckpointing(model, lora, options, availableBytes);
  return { ...planMemory(model, lora, { ...options, gradientCheckpointing }), gradientCheckpointing };
}

/** On the largest part that the job's fields change, unless the base model alone is larger than all the rest. */
function adviceOf({ groups }: MemoryPlan): string {
  const byBytes = groups.toSorted((a, b) => b.bytes - a.bytes);
  return (byBytes.find(({ isFixed }) => !isFixed) ?? byBytes[0]!).advice;
}
