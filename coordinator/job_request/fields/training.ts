/** Fields of `TrainingArguments` and `SFTConfig` that decide the training. */
import { DATASET_ALIASES } from "./dataset.ts";
import { PUSH_RULES } from "./pushed.ts";
import { alias, all, explained, type FieldRules, only } from "./rule.ts";
import { AS_STORED, CHECKPOINTING, COMPUTE, PROCESSES } from "./reasons.ts";
import { TRACKING_RULES } from "./tracked.ts";
import { TRAINING_WITHOUT_EFFECT } from "./training_without_effect.ts";

const WORKERS_CHOICE = only([false], "a worker's own --allow-cpu decides that");

/** transformers' `AcceleratorConfig`, as `TrainingArguments.to_dict` writes it. */
const ACCELERATOR_DEFAULTS = {
  split_batches: false,
  dispatch_batches: null,
  even_batches: true,
  use_seedable_sampler: true,
  non_blocking: false,
  gradient_accumulation_kwargs: null,
};

export const TRAINING_RULES: FieldRules = {
  ...DATASET_ALIASES,
  packing: alias("dataset.packing"),
  packing_strategy: alias("dataset.packing_strategy"),
  max_seq_length: alias("dataset.max_seq_length"),
  completion_only_loss: alias("dataset.completion_only_loss"),
  assistant_only_loss: alias("dataset.assistant_only_loss"),
  seed: alias("seed"),
  data_seed: alias("seed"),
  fp16: explained(COMPUTE, [false]),
  bf16: explained(COMPUTE, [false]),
  tf32: explained(COMPUTE, [false]),
  ...TRACKING_RULES,
  ...PUSH_RULES,
  train_sampling_strategy: {
    kind: "translated",
    to: "dataset.shuffle",
    values: { random: true, sequential: false },
    reason:
      '"random" and "sequential" are supported; rows are laid end to end without padding, so sorting them by ' +
      "length saves nothing",
  },
  group_by_length: explained(
    "rows are laid end to end without padding, so grouping by length saves nothing",
    [
      false,
    ],
  ),
  do_eval: explained("eval_strategy decides whether and when rows are evaluated", [true, false]),
  do_predict: only([false], "nothing is predicted after training; `deno task evaluate` does it"),
  evaluation_strategy: alias("training.eval_strategy"),
  per_gpu_eval_batch_size: alias("training.per_device_eval_batch_size"),
  save_safetensors: only([true], "adapters are saved as safetensors"),
  resume_from_checkpoint: { kind: "resumed" },
  auto_find_batch_size: explained(
    "the memory plan checks the batch size before training; it is never changed",
    [false],
  ),
  dataloader_drop_last: only([false], "every row is trained on"),
  average_tokens_across_devices: explained("a step's loss is the mean over all tokens of all workers", [
    true,
  ]),
  activation_checkpointing: explained(CHECKPOINTING, [true, false]),
  deepspeed: only([{}, ""], PROCESSES),
  fsdp: only([[], "", false], PROCESSES),
  parallelism_config: only([{}], PROCESSES),
  accelerator_config: explained(PROCESSES, [{}, ACCELERATOR_DEFAULTS]),
  sharded_ddp: only([[], "", false], PROCESSES),
  deepspeed_plugin: only([], PROCESSES),
  per_gpu_train_batch_size: alias("training.per_device_train_batch_size"),
  adafactor: only([false], "the optimizer is AdamW"),
  embedding_learning_rate: only([], "only adapters are trained, no embeddings"),
  use_cpu: WORKERS_CHOICE,
  no_cuda: WORKERS_CHOICE,
  optim_args: only([""], "the optimizer has no other parameters", {
    instead: "leave it out; adam_beta1, adam_beta2 and adam_epsilon are fields of their own",
  }),
  optim_target_modules: only([[]], "the optimizer is AdamW for all of the adapter"),
  loss_type: only(["nll"], "the loss is plain cross entropy"),
  ...all(
    "hub_token push_to_hub_token",
    only([], "a token has no place in a job; the coordinator's HF_TOKEN is used"),
  ),
  model_init_kwargs: only([{}], AS_STORED, {
    instead: "leave it out; the job's quantization group takes what from_pretrained takes",
  }),
  chat_template_path: only([], `${AS_STORED}, including the chat template`, {
    instead: "leave it out and store the template in the model's folder",
  }),
  eos_token: only([], AS_STORED, {
    instead: "leave it out and name it in the model's tokenizer_config.json",
  }),
  pad_token: explained("rows are laid end to end without padding"),
  ...TRAINING_WITHOUT_EFFECT,
};
