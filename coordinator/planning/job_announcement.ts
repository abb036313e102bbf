/** A planned job as it is announced to workers: everything that has to be equal on all of them. */
import type { JobAnnouncement } from "../../shared/protocol/messages_coordinator.ts";
import type { LoraSpec, TrainingSpec } from "../../shared/job/job_spec_schema.ts";
import type { PlannedJob } from "./planned_job.ts";
import { parseHubName, snapshotOf } from "../../shared/hub/repo_name.ts";

/**
 * The base model's name in the adapter's config, by which PEFT's AutoPeftModel finds it: the one that the job sets, else a hub
 * model's id (with its revision if the job asks for one), else the job's own name for it.
 */
function baseModelOf({ spec, modelFolder }: PlannedJob): { readonly name: string; readonly lora: LoraSpec } {
  const { lora, model } = spec;
  if (lora.base_model_name_or_path !== undefined) return { name: lora.base_model_name_or_path, lora };
  const repo = snapshotOf(modelFolder)?.repo;
  if (repo === undefined) return { name: model, lora };
  const asked = parseHubName(model);
  const revision = asked?.repo === repo && asked.revision !== "main" ? { revision: asked.revision } : {};
  return { name: repo, lora: { ...revision, ...lora } };
}

/** Left out where a job asks for neither, so that its announcement stays as it was. */
function regularisationOf({ neftune_noise_alpha: noise, label_smoothing_factor: smoothing }: TrainingSpec) {
  if (noise === undefined && smoothing === undefined) return {};
  return { regularisation: { noiseAlpha: noise ?? 0, labelSmoothing: smoothing ?? 0 } };
}

export function announcementOf(job: PlannedJob, startId: string): JobAnnouncement {
  const { seed, quantization, training, fleet } = job.spec;
  const { name: baseModelName, lora } = baseModelOf(job);
  const evaluated = job.evaluation?.maxTokens ?? 0;
  return {
    ...{ jobId: job.id, startId, specHash: job.specHash },
    ...{ model: job.model, modelFolder: job.modelFolder, baseModelName },
    savesState: !training.save_only_model,
    gradientCodec: fleet.gradient_codec,
    ...job.totalTokens === undefined ? {} : { totals: { steps: job.totalSteps, tokens: job.totalTokens } },
    localSteps: fleet.local_steps === null ? null : {
      outerLearningRate: fleet.local_steps.outer_learning_rate,
      outerMomentum: fleet.local_steps.outer_momentum,
    },
    engine: {
      ...{ lora, seed },
      doubleQuantization: quantization.bnb_4bit_use_double_quant,
      gradientCheckpointing: training.gradient_checkpointing,
      maxTokensPerMicroBatch: job.maxTokensPerMicroBatch,
      ...evaluated > job.maxTokensPerMicroBatch ? { maxTokensPerEvaluation: evaluated } : {},
      maxPositions: job.maxPositions,
      ...regularisationOf(training),
    },
    optimizer: {
      beta1: training.adam_beta1,
      beta2: training.adam_beta2,
      epsilon: training.adam_epsilon,
      weightDecay: training.weight_decay,
      maxGradientNorm: training.max_grad_norm,
    },
  };
}
