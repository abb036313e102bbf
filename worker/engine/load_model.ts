/** Puts a job's model on the GPU, within the memory that the GPU has. */
import { openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { isPissa } from "../../shared/job/pissa.ts";
import { formatHostMemory, planHostMemory } from "../../shared/memory/host_memory.ts";
import { isOutOfMemory } from "../device/error_scopes.ts";
import type { Gpu } from "../device/gpu.ts";
import { openLinears } from "../files/linears/open_linears.ts";
import { LanguageModel, type ModelOptions } from "../model/language_model.ts";
import type { EngineSpec } from "./engine.ts";
import type { GpuBudget, GpuBudgets } from "./gpu_budget.ts";
import { compileAhead } from "./rehearsal.ts";
import { openPissaBase } from "./pissa/pissa_base.ts";

/**
 * What the card gave, or did not give, corrects what `budgets` know of it.
 * @throws LoraFleetError `does_not_fit`, `invalid_model`, `invalid_request`, `model_not_found`, `gpu_failure`
 */
export async function loadModel(
  spec: EngineSpec,
  gpu: Gpu,
  budgets: GpuBudgets,
) {
  const stored = await openCheckpoint(spec.modelFolder);
  const pissa = isPissa(spec.lora) ? openPissaBase(stored, spec.modelFolder, spec.lora) : null;
  using linears = await openLinears(pissa?.checkpoint ?? stored, spec);
  const budget = await budgets.of(spec, gpu);
  const failed = new AbortController();
  try {
    const options = optionsOf(spec, budget);
    await compileAhead(gpu, linears.checkpoint, options, failed.signal);
    const model = await LanguageModel.load(gpu, linears.checkpoint, options);
    if (model.givenBytes !== null) await budgets.correct(spec, gpu, model.givenBytes);
    const { hardwareConcurrency } = navigator;
    const host = planHostMemory(model.spec, model.lora, hardwareConcurrency, spec.hasLocalSteps);
    const hostText = formatHostMemory(host, gpu.isCpu ? model.plannedBytes : null);
    const { memoryBudgetBytes: budgetBytes } = budget;
    return { model, pissa, linears, budgetBytes, planText: `${model.planText}\n${hostText}` };
  } catch (thrown) {
    failed.abort();
    if (isOutOfMemory(thrown)) await budgets.forget(spec, gpu);
    throw thrown;
  }
}

function optionsOf(spec: EngineSpec, budget: GpuBudget): ModelOptions {
  return {
    lora: spec.lora,
    maxTokens: Math.max(spec.maxTokensPerMicroBatch, spec.maxTokensPerEvaluation ?? 0),
    maxHeadRows: spec.maxTokensPerMicroBatch,
    maxPositions: spec.maxPositions,
    doubleQuantization: spec.doubleQuantization,
    keptLayers: spec.gradientCheckpointing ? "what fits" : "all",
    training: true,
    ...(spec.regularisation && { regularisation: spec.regularisation }),
    ...budget,
  };
}
