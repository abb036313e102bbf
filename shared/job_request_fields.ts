/**
 * Fields of transformers, PEFT, TRL and bitsandbytes that existing scripts set and that are no fields of a JobSpec:
 * each has another place, is accepted at the values that describe what lorafleet does, or changes nothing here.
 */

/** What becomes of a field. */
export type FieldRule =
  /** Another spelling of a field of the spec. */
  | { readonly kind: "alias"; readonly to: string }
  /** Accepted with these values, refused with the reason otherwise. */
  | { readonly kind: "only"; readonly values: readonly unknown[]; readonly reason: string }
  /** Accepted with any value; `note` is told to the user unless the value is one of `quiet`. */
  | { readonly kind: "unused"; readonly note: string | null; readonly quiet: readonly unknown[] };

export const GROUPS = ["lora", "quantization", "training", "dataset", "fleet"] as const;
export type Group = (typeof GROUPS)[number];

const alias = (to: string): FieldRule => ({ kind: "alias", to });
const only = (values: readonly unknown[], reason: string): FieldRule => ({ kind: "only", values, reason });
const unused = (note: string | null = null, quiet: readonly unknown[] = []): FieldRule => ({
  kind: "unused",
  note,
  quiet,
});

const PLAIN_LORA = "only plain LoRA (and rsLoRA) adapters are trained";
const EVALUATION = "nothing is evaluated while training; evaluate the finished adapter";
const COMPUTE =
  "workers compute in float32 whatever the half precision asked for, which is at least as exact";
const UPLOAD = "lorafleet uploads nothing; download the adapter, whose folder can be uploaded unchanged";
const PROCESSES = "the fleet's workers share a job by themselves";

/** TRL's `SFTConfig` extends `TrainingArguments`, so a pasted `training` group may describe the dataset, too. */
const DATASET_ALIASES: Record<string, FieldRule> = {
  dataset_text_field: alias("dataset.text_field"),
  max_length: alias("dataset.max_seq_length"),
  assistant_only_loss: alias("dataset.completion_only_loss"),
  eval_packing: unused(),
  dataset_num_proc: unused(),
  dataset_kwargs: only([{}], "no such options"),
  padding_free: unused(),
  pad_to_multiple_of: unused(),
  truncation_mode: only(["keep_start"], 'rows are cut at their end (dataset.truncation: "truncate")'),
  shuffle_dataset: alias("dataset.shuffle"),
};

export const FIELD_RULES: Record<Group, Readonly<Record<string, FieldRule>>> = {
  lora: {
    lora_r: alias("lora.r"),
    peft_type: only(["LORA"], PLAIN_LORA),
    use_dora: only([false], PLAIN_LORA),
    init_lora_weights: only([true], "lora_A starts from Kaiming-uniform numbers and lora_B from zeros"),
    inference_mode: unused(),
    fan_in_fan_out: only([false], "weights are [out, in]"),
    modules_to_save: only([[]], "only adapters are trained, no module of the base model"),
    layers_to_transform: only([[]], "every layer gets an adapter"),
    layers_pattern: only([[], ""], "every layer gets an adapter"),
    rank_pattern: only([{}], "all layers have one rank"),
    alpha_pattern: only([{}], "all layers have one lora_alpha"),
    exclude_modules: only([[]], "name the modules that get an adapter in lora.target_modules"),
    auto_mapping: unused(),
    base_model_name_or_path: unused(),
    revision: unused(),
    peft_version: unused(),
  },
  quantization: {
    use_4bit: alias("quantization.load_in_4bit"),
    use_nested_quant: alias("quantization.bnb_4bit_use_double_quant"),
    load_in_8bit: only([false], "base models are quantised to 4 bits (NF4)"),
    bnb_4bit_quant_storage: only(["uint8", "torch.uint8"], "two codes are packed into a byte"),
    quant_method: only(["bitsandbytes"], "base models are quantised as bitsandbytes does it (NF4)"),
    llm_int8_threshold: unused(),
    llm_int8_enable_fp32_cpu_offload: unused(),
    llm_int8_has_fp16_weight: unused(),
    llm_int8_skip_modules: only([["lm_head"]], "every linear layer except lm_head is quantised"),
  },
  training: {
    ...DATASET_ALIASES,
    packing: alias("dataset.packing"),
    packing_strategy: alias("dataset.packing_strategy"),
    max_seq_length: alias("dataset.max_seq_length"),
    completion_only_loss: alias("dataset.completion_only_loss"),
    seed: alias("seed"),
    data_seed: only([], "the job's seed decides the order of the data, too"),
    fp16: unused(COMPUTE, [false]),
    bf16: unused(COMPUTE, [false]),
    tf32: unused(COMPUTE, [false]),
    half_precision_backend: unused(),
    report_to: unused(
      "metrics are not sent to an experiment tracker; they are in the job's events",
      ["none", [], ["none"]],
    ),
    run_name: unused(),
    output_dir: unused(),
    overwrite_output_dir: unused(),
    logging_dir: unused(),
    logging_strategy: unused(),
    logging_first_step: unused(),
    logging_nan_inf_filter: unused(),
    log_level: unused(),
    disable_tqdm: unused(),
    group_by_length: unused("rows are laid end to end without padding, so grouping by length saves nothing", [
      false,
    ]),
    length_column_name: unused(),
    remove_unused_columns: unused(),
    do_train: only([true], "a job trains"),
    do_eval: only([false], EVALUATION),
    eval_strategy: only(["no"], EVALUATION),
    evaluation_strategy: only(["no"], EVALUATION),
    eval_steps: unused(),
    per_device_eval_batch_size: unused(),
    eval_accumulation_steps: unused(),
    load_best_model_at_end: only([false], EVALUATION),
    save_total_limit: unused("every checkpoint is kept"),
    save_safetensors: only([true], "adapters are saved as safetensors"),
    resume_from_checkpoint: only(
      [false],
      "an interrupted job goes on by itself; another job's state is not loaded",
    ),
    auto_find_batch_size: unused(
      "the batch size is not changed when memory runs out; the memory plan tells before",
      [
        false,
      ],
    ),
    dataloader_drop_last: only([false], "every row is trained on"),
    dataloader_num_workers: unused(),
    dataloader_pin_memory: unused(),
    gradient_checkpointing_kwargs: unused(),
    average_tokens_across_devices: only([true], "a step's loss is the mean over all tokens of all workers"),
    ddp_find_unused_parameters: unused(),
    deepspeed: only([{}, ""], PROCESSES),
    fsdp: only([[], "", false], PROCESSES),
    local_rank: unused(),
    torch_compile: unused(),
    use_liger_kernel: unused(),
    use_cpu: only([false], "a worker's own --allow-cpu decides that"),
    full_determinism: unused(),
    lr_scheduler_kwargs: only([{}], "the schedules have no other parameters"),
    optim_args: only([""], "the optimizer has no other parameters"),
    label_smoothing_factor: only([0], "the loss is plain cross entropy"),
    loss_type: only(["nll"], "the loss is plain cross entropy"),
    neftune_noise_alpha: only([], "no noise is added to embeddings"),
    push_to_hub: only([false], UPLOAD),
    hub_model_id: unused(),
    hub_strategy: unused(),
    hub_token: only([], `${UPLOAD}; a token has no place in a job`),
    include_num_input_tokens_seen: unused(),
    include_tokens_per_second: unused(),
  },
  dataset: {
    ...DATASET_ALIASES,
    path: only([], "upload the file (POST /v1/files) and give its id as training_file"),
    name: only([], "upload the file (POST /v1/files) and give its id as training_file"),
    format: only(["jsonl", "json"], "datasets are JSON lines"),
  },
  fleet: {},
};

/** Other spellings of values: what scripts write → what the spec calls it. */
export const VALUE_ALIASES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "quantization.bnb_4bit_compute_dtype": {
    "torch.float32": "float32",
    "torch.float16": "float16",
    "torch.bfloat16": "bfloat16",
    fp32: "float32",
    fp16: "float16",
    bf16: "bfloat16",
  },
  "training.optim": {
    adamw_torch_fused: "adamw_torch",
    adamw_hf: "adamw_torch",
    paged_adamw: "paged_adamw_32bit",
  },
};
