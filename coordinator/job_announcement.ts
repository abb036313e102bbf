/** A planned job as it is announced to workers: all of it that has to be equal on every one of them. */
import type { JobAnnouncement } from "../shared/messages.ts";
import type { PlannedJob } from "./fleet.ts";

export function announcementOf(job: PlannedJob, startId: string): JobAnnouncement {
  const { lora, seed, quantization, training, fleet } = job.spec;
  return {
    jobId: job.id,
    startId,
    specHash: job.specHash,
    model: job.model,
    modelFolder: job.modelFolder,
    baseModelName: job.spec.model,
    savesState: !training.save_only_model,
    gradientCodec: fleet.gradient_codec,
    localSteps: fleet.local_steps === null ? null : {
      outerLearningRate: fleet.local_steps.outer_learning_rate,
      outerMomentum: fleet.local_steps.outer_momentum,
    },
    engine: {
      lora,
      seed,
      doubleQuantization: quantization.bnb_4bit_use_double_quant,
      gradientCheckpointing: training.gradient_checkpointing,
      maxTokensPerMicroBatch: job.maxTokensPerMicroBatch,
      maxPositions: job.maxPositions,
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
