/** Fields of `TrainingArguments` and `SFTConfig`, old ones included, that cannot matter here, and why. */
import { type FieldRules, meaningless, without } from "./rule.ts";
import { CHECKPOINTING, COMPUTE, IN_FLIGHT, OWN_KERNELS, PROCESSES, REMOTE_CODE } from "./reasons.ts";

const EVALUATION = "loss and token accuracy of all rows are computed, each micro-batch by itself";
const LOGGING = "every step's metrics are in the job's events";
const LOADING = "workers take micro-batches from a queue; there is no data loader";
const RESTORING = "an interrupted job goes on from its last step by itself, bit by bit";
const TRACKING = "it is for an experiment tracker";
const HUB = "nothing is pushed before the job has succeeded (hub_strategy)";
const GONE = "transformers has dropped it, and it names hardware or code that workers do not use";

export const TRAINING_WITHOUT_EFFECT: FieldRules = {
  do_train: meaningless("a job is for training"),
  ...without(
    "results lie with the coordinator, under the job's id; download them through the API",
    "output_dir overwrite_output_dir save_on_each_node",
  ),
  ...without(
    TRACKING,
    "project trackio_space_id trackio_bucket_id trackio_static_space_id",
  ),
  ...without(
    LOGGING,
    `logging_nan_inf_filter log_level log_level_replica log_on_each_node
     disable_tqdm skip_memory_metrics include_num_input_tokens_seen include_tokens_per_second debug`,
  ),
  ...without(
    "rows are read by their form; columns that it does not use are left alone",
    "length_column_name remove_unused_columns label_names",
  ),
  ...without(
    EVALUATION,
    `include_for_metrics include_inputs_for_metrics prediction_loss_only eval_accumulation_steps
     eval_do_concat_batches eval_use_gather_object batch_eval_metrics eval_batch_size`,
  ),
  ...without(COMPUTE, "bf16_full_eval fp16_full_eval fp16_backend fp16_opt_level half_precision_backend"),
  ...without(RESTORING, "enable_jit_checkpoint ignore_data_skip restore_callback_states_from_checkpoint"),
  full_determinism: meaningless("training is deterministic in any case, to the bit among equal GPUs"),
  torch_empty_cache_steps: meaningless("buffers are allocated once, by the memory plan"),
  ...without(
    CHECKPOINTING,
    "gradient_checkpointing_kwargs activation_checkpointing_kwargs activation_offloading",
  ),
  ...without(
    OWN_KERNELS,
    `torch_compile torch_compile_backend torch_compile_mode torchdynamo use_liger_kernel use_liger
     liger_kernel_config unsloth_num_chunks unsloth_logit_chunk_multiplier`,
  ),
  ...without(
    LOADING,
    `dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers dataloader_prefetch_factor
     dataloader_multiprocessing_context dataloader_in_order split_batches dispatch_batches`,
  ),
  ...without(
    PROCESSES,
    `ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout
     local_rank _n_gpu fsdp_config fsdp_min_num_params fsdp_transformer_layer_cls_to_wrap tp_size
     distributed_state train_batch_size`,
  ),
  ...without(
    GONE,
    `tpu_num_cores tpu_metrics_debug use_mps_device use_ipex jit_mode_eval mp_parameters past_index ray_scope
     use_legacy_prediction_loop xpu_backend`,
  ),
  ...without(
    HUB,
    "hub_always_push",
  ),
  trust_remote_code: meaningless(REMOTE_CODE),
  router_aux_loss_coef: meaningless("no base model here has experts with a router"),
  ...without(IN_FLIGHT, "use_cache vllm_sampling_params"),
};
