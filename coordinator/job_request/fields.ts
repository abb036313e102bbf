/**
 * Fields of transformers, PEFT, TRL and bitsandbytes that existing scripts set and that a JobSpec does not have: each is an
 * alias, is accepted only with values that describe what lorafleet does, or has no effect.
 */

/** How a field is treated. */
type FieldRule =
  /** Another spelling of a field of the spec. */
  | { readonly kind: "alias"; readonly to: string }
  /** Accepted with these values and with equivalent ones by `means`, otherwise refused with the reason. */
  | {
    readonly kind: "only";
    readonly values: readonly unknown[];
    readonly reason: string;
    readonly means: (value: unknown) => boolean;
  }
  /** Each key of `values` stands for a value of the field `to`; others are refused with the reason. */
  | {
    readonly kind: "translated";
    readonly to: string;
    readonly values: Readonly<Record<string, unknown>>;
    readonly reason: string;
  }
  /**
   * Accepted with any value. Warns with `note`, or else that the field has no effect, unless the value is in `quiet` or the
   * library's own default.
   */
  | { readonly kind: "unused"; readonly note: string | null; readonly quiet: readonly unknown[] };

export const GROUPS = ["lora", "quantization", "training", "dataset", "fleet"] as const;
export type Group = (typeof GROUPS)[number];

const alias = (to: string): FieldRule => ({ kind: "alias", to });
const only = (
  values: readonly unknown[],
  reason: string,
  means: (value: unknown) => boolean = () => false,
): FieldRule => ({ kind: "only", values, reason, means });
const unused = (note: string | null = null, quiet: readonly unknown[] = []): FieldRule => ({
  kind: "unused",
  note,
  quiet,
});

/** The same rule for several names. */
const all = (names: string, rule: FieldRule): Record<string, FieldRule> =>
  Object.fromEntries(names.trim().split(/\s+/).map((name) => [name, rule]));

const PLAIN_LORA = "only plain LoRA (and rsLoRA) adapters are trained";
const EVALUATION = "nothing is evaluated while training; evaluate the finished adapter";
const COMPUTE =
  "workers compute in float32, which is at least as exact, whatever half precision is requested";
const UPLOAD = "lorafleet uploads nothing; download the adapter, whose folder can be uploaded unchanged";
const PROCESSES = "the fleet distributes a job by itself";
const EVERY_LAYER =
  "every layer gets an adapter; write a pattern of whole names in lora.target_modules to choose among layers";
const AS_STORED = "the base model and its tokenizer are used as they are stored";
const CHECKPOINTING =
  "a worker recomputes activations if its memory requires it, with bit-identical gradients";

/** transformers' `AcceleratorConfig`, as `TrainingArguments.to_dict` writes it. */
const ACCELERATOR_DEFAULTS = {
  split_batches: false,
  dispatch_batches: null,
  even_batches: true,
  use_seedable_sampler: true,
  non_blocking: false,
  gradient_accumulation_kwargs: null,
};

/**
 * Whether a list of modules to skip excludes lm_head and no other layer of a text model; configurations of vision models also
 * name their towers and projectors. Matches as transformers does: a name, or the beginning or end of a full one.
 */
function skipsOnlyHead(value: unknown): boolean {
  if (!Array.isArray(value) || !value.includes("lm_head")) return false;
  const linear = [
    ...["q_proj", "k_proj", "v_proj", "o_proj"].map((name) => `model.layers.0.self_attn.${name}`),
    ...["gate_proj", "up_proj", "down_proj"].map((name) => `model.layers.0.mlp.${name}`),
  ];
  return value.every((name) =>
    name === "lm_head" ||
    (typeof name === "string" && /^\w+$/.test(name) &&
      !linear.some((whole) => whole.startsWith(name) || whole.endsWith(name)))
  );
}

/** TRL's `SFTConfig` extends `TrainingArguments`, so a pasted `training` group may also describe the dataset. */
const DATASET_ALIASES: Record<string, FieldRule> = {
  dataset_text_field: alias("dataset.text_field"),
  max_length: alias("dataset.max_seq_length"),
  eval_packing: unused(),
  dataset_num_proc: unused(),
  dataset_kwargs: only([{}, { skip_prepare_dataset: false }], "no such options"),
  padding_free: unused(),
  pad_to_multiple_of: unused(),
  truncation_mode: only(["keep_start"], 'rows are cut at their end (dataset.truncation: "truncate")'),
  // Shuffles the file before the trainer's own shuffling, which is dataset.shuffle.
  shuffle_dataset: unused("the rows are shuffled for each epoch in any case (dataset.shuffle)", [false]),
  dataset_batch_size: unused(),
  num_of_sequences: unused(),
  chars_per_token: unused(),
};

/** Fields of TrainingArguments and SFTConfig, old ones included, that log, load, evaluate, upload or compute elsewhere. */
const WITHOUT_EFFECT = `
  output_dir overwrite_output_dir run_name project logging_dir logging_strategy logging_first_step
  logging_nan_inf_filter log_level log_level_replica log_on_each_node disable_tqdm skip_memory_metrics
  trackio_space_id trackio_bucket_id trackio_static_space_id include_num_input_tokens_seen
  include_tokens_per_second include_for_metrics include_inputs_for_metrics debug length_column_name
  remove_unused_columns label_names metric_for_best_model greater_is_better prediction_loss_only eval_steps
  eval_delay per_device_eval_batch_size per_gpu_eval_batch_size eval_accumulation_steps
  eval_do_concat_batches eval_use_gather_object batch_eval_metrics bf16_full_eval fp16_full_eval fp16_backend
  fp16_opt_level half_precision_backend save_on_each_node enable_jit_checkpoint ignore_data_skip
  restore_callback_states_from_checkpoint full_determinism torch_empty_cache_steps
  gradient_checkpointing_kwargs activation_checkpointing_kwargs activation_offloading use_cache torch_compile
  torch_compile_backend torch_compile_mode use_liger_kernel use_liger liger_kernel_config
  dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor
  dataloader_multiprocessing_context dataloader_in_order split_batches dispatch_batches
  ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout
  local_rank _n_gpu fsdp_config fsdp_min_num_params fsdp_transformer_layer_cls_to_wrap tpu_num_cores
  tpu_metrics_debug use_mps_device use_ipex jit_mode_eval mp_parameters past_index ray_scope torchdynamo
  hub_model_id hub_strategy hub_private_repo hub_always_push hub_revision push_to_hub_model_id
  push_to_hub_organization trust_remote_code router_aux_loss_coef use_legacy_prediction_loop xpu_backend
  tp_size distributed_state vllm_sampling_params
  train_batch_size eval_batch_size unsloth_num_chunks unsloth_logit_chunk_multiplier
`;

export const FIELD_RULES: Record<Group, Readonly<Record<string, FieldRule>>> = {
  lora: {
    lora_r: alias("lora.r"),
    peft_type: only(["LORA"], PLAIN_LORA),
    use_dora: only([false], PLAIN_LORA),
    init_lora_weights: only([true], "lora_A starts from Kaiming-uniform numbers and lora_B from zeros"),
    inference_mode: unused(null, [true, false]),
    fan_in_fan_out: only([false], "weights are [out, in]"),
    modules_to_save: only([[]], "only adapters are trained, no module of the base model"),
    layers_to_transform: only([[]], EVERY_LAYER),
    layers_pattern: only([[], ""], EVERY_LAYER),
    rank_pattern: only([{}], "all layers have one rank"),
    alpha_pattern: only([{}], "all layers have one lora_alpha"),
    exclude_modules: only([[], ""], "name the modules that get an adapter in lora.target_modules"),
    layer_replication: only([[]], "layers are not repeated"),
    target_parameters: only([[]], "adapters are for linear layers, not for single parameters"),
    trainable_token_indices: only([[], {}], "only adapters are trained, no embeddings"),
    lora_bias: only([false], "adapters have no bias"),
    // In PEFT's first versions.
    ...all("merge_weights enable_lora", only([false, []], PLAIN_LORA)),
    ...all("loftq_config eva_config corda_config lora_ga_config velora_config", only([{}], PLAIN_LORA)),
    ...all("monteclora_config arrow_config kasa_config megatron_config", only([{}], PLAIN_LORA)),
    ...all("use_bdlora use_qalora qat_scheme", only([false], PLAIN_LORA)),
    alora_invocation_tokens: only([[]], PLAIN_LORA),
    ...all("megatron_core qalora_group_size ensure_weight_tying", unused()),
    ...all("runtime_config auto_mapping peft_version", unused()),
    // Unsloth's get_peft_model and PEFT's.
    use_gradient_checkpointing: unused(CHECKPOINTING, [true, "unsloth"]),
    random_state: unused("the job's seed starts the adapter"),
    max_seq_length: alias("dataset.max_seq_length"),
    finetune_vision_layers: unused("base models here have no vision layers", [false]),
    ...all(
      "finetune_language_layers finetune_attention_modules finetune_mlp_modules",
      only([], 'name the modules that get an adapter in lora.target_modules ("all-linear" for all of them)'),
    ),
    ...all("temporary_location adapter_name autocast_adapter_dtype low_cpu_mem_usage", unused()),
  },
  quantization: {
    use_4bit: alias("quantization.load_in_4bit"),
    use_nested_quant: alias("quantization.bnb_4bit_use_double_quant"),
    load_in_8bit: only([false], "base models are quantised to 4 bits (NF4)"),
    _load_in_4bit: alias("quantization.load_in_4bit"),
    _load_in_8bit: only([false], "base models are quantised to 4 bits (NF4)"),
    ...all("load_in_16bit full_finetuning", only([false], "adapters are trained on a base model in NF4")),
    bnb_4bit_quant_storage: unused("two codes are packed into a byte", ["uint8", "torch.uint8"]),
    quant_method: only(["bitsandbytes"], "base models are quantised as bitsandbytes does it (NF4)"),
    ...all("llm_int8_threshold llm_int8_enable_fp32_cpu_offload llm_int8_has_fp16_weight", unused()),
    llm_int8_skip_modules: only(
      [["lm_head"], []],
      "every linear layer except lm_head is quantised",
      skipsOnlyHead,
    ),
    // Arguments of from_pretrained, transformers' and Unsloth's.
    max_seq_length: alias("dataset.max_seq_length"),
    ...all("dtype torch_dtype", unused(COMPUTE)),
    ...all("device_map attn_implementation trust_remote_code use_cache low_cpu_mem_usage", unused()),
    model_name: unused("the job's model is the base model"),
    use_gradient_checkpointing: unused(CHECKPOINTING, [true, "unsloth"]),
    random_state: unused("the job's seed starts the adapter"),
    ...all("rope_scaling resize_model_vocab", only([], AS_STORED)),
    revision: only(["main"], AS_STORED),
    token: only([], "a token has no place in a job; the coordinator's own reads the hub"),
    ...all("fix_tokenizer use_exact_model_name fast_inference gpu_memory_utilization", unused()),
    ...all("float8_kv_cache max_lora_rank disable_log_stats offload_embedding", unused()),
  },
  training: {
    ...DATASET_ALIASES,
    packing: alias("dataset.packing"),
    packing_strategy: alias("dataset.packing_strategy"),
    max_seq_length: alias("dataset.max_seq_length"),
    completion_only_loss: alias("dataset.completion_only_loss"),
    assistant_only_loss: alias("dataset.assistant_only_loss"),
    seed: alias("seed"),
    data_seed: alias("seed"),
    fp16: unused(COMPUTE, [false]),
    bf16: unused(COMPUTE, [false]),
    tf32: unused(COMPUTE, [false]),
    report_to: unused(
      "metrics are not sent to an experiment tracker; they are in the job's events",
      ["none", [], ["none"]],
    ),
    train_sampling_strategy: {
      kind: "translated",
      to: "dataset.shuffle",
      values: { random: true, sequential: false },
      reason:
        '"random" and "sequential" are supported; rows are laid end to end without padding, so sorting them by ' +
        "length saves nothing",
    },
    group_by_length: unused("rows are laid end to end without padding, so grouping by length saves nothing", [
      false,
    ]),
    do_train: unused(),
    do_eval: only([false], EVALUATION),
    do_predict: only([false], EVALUATION),
    eval_strategy: only(["no"], EVALUATION),
    evaluation_strategy: only(["no"], EVALUATION),
    eval_on_start: only([false], EVALUATION),
    load_best_model_at_end: only([false], EVALUATION),
    save_total_limit: unused("every checkpoint is kept"),
    save_safetensors: only([true], "adapters are saved as safetensors"),
    resume_from_checkpoint: only(
      [false],
      "an interrupted job resumes by itself; the state of other jobs is not loaded",
    ),
    auto_find_batch_size: unused(
      "the memory plan checks the batch size before training; it is never changed",
      [false],
    ),
    dataloader_drop_last: only([false], "every row is trained on"),
    average_tokens_across_devices: unused("a step's loss is the mean over all tokens of all workers", [true]),
    activation_checkpointing: unused(CHECKPOINTING, [true, false]),
    deepspeed: only([{}, ""], PROCESSES),
    fsdp: only([[], "", false], PROCESSES),
    parallelism_config: only([{}], PROCESSES),
    accelerator_config: unused(PROCESSES, [{}, ACCELERATOR_DEFAULTS]),
    sharded_ddp: only([[], "", false], PROCESSES),
    deepspeed_plugin: only([], PROCESSES),
    per_gpu_train_batch_size: alias("training.per_device_train_batch_size"),
    adafactor: only([false], "the optimizer is AdamW"),
    embedding_learning_rate: only([], "only adapters are trained, no embeddings"),
    use_cpu: only([false], "a worker's own --allow-cpu decides that"),
    no_cuda: only([false], "a worker's own --allow-cpu decides that"),
    lr_scheduler_kwargs: only([{}], "the schedules have no other parameters"),
    optim_args: only([""], "the optimizer has no other parameters"),
    optim_target_modules: only([[]], "the optimizer is AdamW for all of the adapter"),
    label_smoothing_factor: only([0], "the loss is plain cross entropy"),
    loss_type: only(["nll"], "the loss is plain cross entropy"),
    neftune_noise_alpha: only([0], "no noise is added to embeddings"),
    push_to_hub: only([false], UPLOAD),
    ...all("hub_token push_to_hub_token", only([], `${UPLOAD}; a token has no place in a job`)),
    model_init_kwargs: only([{}], AS_STORED),
    chat_template_path: only([], `${AS_STORED}, including the chat template`),
    eos_token: only([], AS_STORED),
    pad_token: unused("rows are laid end to end without padding"),
    ...all(WITHOUT_EFFECT, unused()),
  },
  dataset: {
    ...DATASET_ALIASES,
    path: only([], "upload the file (POST /v1/files) and give its id as training_file"),
    name: only([], "upload the file (POST /v1/files) and give its id as training_file"),
    format: only(["jsonl", "json"], "datasets are JSON lines"),
  },
  fleet: {},
};

/** Aliases of values: spelling in scripts → spelling in the spec. */
export const VALUE_ALIASES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "training.gradient_checkpointing": { unsloth: true },
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
    adamw_torch_xla: "adamw_torch",
    adamw_torch_npu_fused: "adamw_torch",
    adamw_apex_fused: "adamw_torch",
    adamw_hf: "adamw_torch",
    paged_adamw: "paged_adamw_32bit",
  },
};
