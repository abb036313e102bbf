/** The shape of a job's configuration, with its defaults. Everything else about it is in job_spec.ts's other parts. */
import { z } from "zod";

const positiveInteger = z.int().positive();

/** LoRA as PEFT's `LoraConfig` names it. */
export const loraSchema = z.strictObject({
  r: positiveInteger.default(8),
  lora_alpha: z.number().positive().default(16),
  lora_dropout: z.number().min(0).lt(1).default(0),
  bias: z.literal("none").default("none"),
  task_type: z.literal("CAUSAL_LM").default("CAUSAL_LM"),
  use_rslora: z.boolean().default(false),
  /**
   * Module name suffixes, "all-linear", or a regular expression for the modules' whole names. PEFT's default for Llama is q_proj
   * and v_proj.
   */
  target_modules: z.union([z.array(z.string().min(1)).min(1), z.string().min(1)]).default([
    "q_proj",
    "v_proj",
  ]),
  /** How the adapter starts; A Kaiming-uniform if left out. `pissa` and `pissa_niter_…` also change the base (pissa.ts). */
  init_lora_weights: z.union([z.enum(["gaussian", "pissa"]), z.string().regex(/^pissa_niter_\d{1,2}$/)])
    .optional(),
  /** Modules without an adapter although `target_modules` names them: name suffixes, or a regular expression. */
  exclude_modules: z.union([z.array(z.string().min(1)).min(1), z.string().min(1)]).optional(),
  /** Layers that get an adapter, by number from 0; all of them if left out. */
  layers_to_transform: z.union([z.int().min(0), z.array(z.int().min(0)).min(1)]).optional(),
  /** What comes before a layer's number, if not any name: "layers". */
  layers_pattern: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]).optional(),
  /** Ranks and alphas of single modules, by regular expressions for the ends of their names from a dot on. */
  rank_pattern: z.record(z.string().min(1), positiveInteger).optional(),
  alpha_pattern: z.record(z.string().min(1), z.number().positive()).optional(),
  /** What the adapter's config calls its base model; the job's `model` if left out. */
  base_model_name_or_path: z.string().min(1).optional(),
  /** The base model's revision for the adapter's config. */
  revision: z.string().min(1).optional(),
});
export type LoraSpec = z.output<typeof loraSchema>;

/** Quantisation as transformers' `BitsAndBytesConfig` names it. */
export const quantizationSchema = z.strictObject({
  load_in_4bit: z.literal(true).default(true),
  bnb_4bit_quant_type: z.literal("nf4").default("nf4"),
  bnb_4bit_use_double_quant: z.boolean().default(true),
  bnb_4bit_compute_dtype: z.enum(["float32", "float16", "bfloat16"]).default("float32"),
});
export type QuantizationSpec = z.output<typeof quantizationSchema>;

const share = z.number().min(0).max(1);
const rampSchema = z.enum(["linear", "cosine", "1-sqrt"]);

/** Arguments of transformers' schedules; each kind takes some of them. */
export const scheduleArgumentsSchema = z.strictObject({
  num_cycles: z.number().positive().optional(),
  min_lr: z.number().min(0).optional(),
  min_lr_rate: share.optional(),
  warmup_lr_rate: share.optional(),
  lr_end: z.number().min(0).optional(),
  power: z.number().positive().optional(),
  timescale: positiveInteger.optional(),
  num_decay_steps: z.int().min(0).optional(),
  num_stable_steps: z.int().min(0).optional(),
  warmup_type: rampSchema.optional(),
  decay_type: rampSchema.optional(),
  min_lr_ratio: share.optional(),
});

/**
 * Evaluation as `TrainingArguments` and `EarlyStoppingCallback` name it. Optional without defaults, as all later fields: a job
 * without them keeps its hash.
 */
const evaluationFields = {
  /** After which steps the validation rows are evaluated; the last step is one of them unless it is "no". */
  eval_strategy: z.enum(["no", "steps", "epoch"]).optional(),
  /** For eval_strategy "steps": a count of steps, below 1 a share of all steps. */
  eval_steps: z.number().positive().refine((value) => value < 1 || Number.isInteger(value), {
    error: "a whole number of steps, or a share of all steps below 1, is needed",
  }).optional(),
  /** No evaluation before so many steps, or epochs with eval_strategy "epoch". */
  eval_delay: z.number().min(0).optional(),
  /** Also before the first step. */
  eval_on_start: z.boolean().optional(),
  /** Packed rows in one micro-batch of an evaluation; fewer if they are longer than a micro-batch of training. */
  per_device_eval_batch_size: positiveInteger.optional(),
  /** The result is the adapter of the best evaluation, not that of the last step. */
  load_best_model_at_end: z.boolean().optional(),
  metric_for_best_model: z.enum(["loss", "mean_token_accuracy"]).optional(),
  greater_is_better: z.boolean().optional(),
  /** Training ends after so many evaluations in a row that are not better than the best by early_stopping_threshold. */
  early_stopping_patience: positiveInteger.optional(),
  early_stopping_threshold: z.number().min(0).optional(),
  /** Older checkpoints are deleted, but never the best or the newest. */
  save_total_limit: positiveInteger.optional(),
};

/** Training as transformers' `TrainingArguments` names it. */
export const trainingSchema = z.strictObject({
  num_train_epochs: z.number().positive().default(3),
  /** Stops after this many optimizer steps, whatever the epochs say; −1 for no limit. */
  max_steps: z.int().min(-1).default(-1),
  /** Packed rows in one micro-batch. */
  per_device_train_batch_size: positiveInteger.default(1),
  /** Micro-batches in one step, over the whole fleet: the global batch does not grow with the number of workers. */
  gradient_accumulation_steps: positiveInteger.default(8),
  learning_rate: z.number().min(0).default(2e-4),
  lr_scheduler_type: z.enum([
    ...["cosine", "linear", "constant", "constant_with_warmup", "cosine_with_restarts"] as const,
    ...["cosine_with_min_lr", "cosine_warmup_with_min_lr", "polynomial", "inverse_sqrt"] as const,
    "warmup_stable_decay",
  ]).default("cosine"),
  lr_scheduler_kwargs: scheduleArgumentsSchema.optional(),
  warmup_ratio: z.number().min(0).max(1).default(0.03),
  /** If above 0 it replaces warmup_ratio: below 1 a share of all steps, else a count of steps. */
  warmup_steps: z.number().min(0).default(0),
  weight_decay: z.number().min(0).default(0),
  adam_beta1: z.number().min(0).lt(1).default(0.9),
  adam_beta2: z.number().min(0).lt(1).default(0.999),
  adam_epsilon: z.number().positive().default(1e-8),
  max_grad_norm: z.number().min(0).default(0.3),
  optim: z.enum(["adamw_torch", "adamw_bnb_32bit", "paged_adamw_32bit"]).default("paged_adamw_32bit"),
  /** NEFTune: uniform noise on embeddings in training, up to alpha / √(tokens of the document · hidden size). */
  neftune_noise_alpha: z.number().positive().optional(),
  /** The share of a label's probability that is spread over the whole vocabulary. */
  label_smoothing_factor: z.number().positive().lt(1).optional(),
  gradient_checkpointing: z.boolean().default(true),
  save_strategy: z.enum(["no", "epoch", "steps"]).default("epoch"),
  /** For save_strategy "steps": a count of steps, below 1 a share of all steps; 0 saves after the last step alone. */
  save_steps: z.number().min(0).refine((value) => value < 1 || Number.isInteger(value), {
    error: "a whole number of steps, or a share of all steps below 1, is needed",
  }).default(500),
  /** Checkpoints hold the adapter alone: if all workers are lost at once, training starts over. */
  save_only_model: z.boolean().default(false),
  /** What follows when the loss explodes or is not finite: the end, or once a new try with half the learning rate. */
  on_divergence: z.enum(["stop", "halve_learning_rate"]).optional(),
  /** Accepted as written; every step's metrics are in the job's events. */
  logging_steps: z.number().min(0).default(1),
  ...evaluationFields,
});
export type TrainingSpec = z.output<typeof trainingSchema>;

const column = z.string().min(1).optional();
/** The columns that make up the forms of rows. */
export const columnMappingSchema = z.strictObject({
  ...{ text: column, prompt: column, completion: column, messages: column, conversations: column },
  ...{ system: column, tools: column, chat_template_kwargs: column },
  ...{ instruction: column, input: column, output: column },
});

/** Which text is trained on and how it becomes rows. */
export const datasetSchema = z.strictObject({
  /** A dataset on the hub, `org/name`, in place of a training file. */
  path: z.string().min(1).optional(),
  /** Its configuration; left out: the only one, or the default. */
  name: z.string().min(1).optional(),
  /** A branch, a tag or a commit of it; the job keeps the commit. Left out: `main`. */
  revision: z.string().min(1).optional(),
  /** A slice as `datasets` writes it: `train`, `train[:10%]`, `train[100:200]`. */
  split: z.string().default("train"),
  /** Shuffles the rows before `split` takes its slice, into the order of `datasets`' `shuffle(seed=…)`; left out: the file's order. */
  shuffle_seed: z.int().min(0).optional(),
  /** Of a JSON file that is an object: the field that holds the list of rows; left out: its only list of objects. */
  field: z.string().min(1).optional(),
  /** What a row of a plain text file is; left out: a line. */
  sample_by: z.enum(["line", "paragraph", "document"]).optional(),
  /**
   * The column of plain text. Rows with `prompt` and `completion`, `messages`, or `instruction` and `output` (Alpaca) are
   * recognised by those names.
   */
  text_field: z.string().min(1).default("text"),
  /** The column with each row's weight in the loss; a row without it has 1. */
  weight_field: z.string().min(1).optional(),
  /** The key with an assistant message's weight in the loss, 0 or more; left out: OpenAI's `weight`, which is 0 or 1. */
  message_weight_field: z.string().min(1).optional(),
  /** From the columns of the forms to what the file calls them: `{"prompt": "question", "completion": "answer"}`. */
  column_mapping: columnMappingSchema.optional(),
  /** Several documents in one row of max_seq_length tokens; they do not see each other (except with "wrapped"). */
  packing: z.boolean().default(true),
  /** "bfd": whole documents, best-fit decreasing. "wrapped": one stream of tokens, cut to exact length. */
  packing_strategy: z.enum(["bfd", "wrapped"]).default("bfd"),
  max_seq_length: positiveInteger.default(1024),
  /** Plain text: what precedes a response. Only responses are trained, each up to the next instruction_template. */
  response_template: z.string().min(1).optional(),
  /** Plain text: what precedes an instruction; left out: the text has one response, which goes to its end. */
  instruction_template: z.string().min(1).optional(),
  /** Train on completions (or assistant turns) alone. */
  completion_only_loss: z.boolean().default(true),
  /** The same for rows with `messages` alone, as TRL has it; completion_only_loss if left out. */
  assistant_only_loss: z.boolean().optional(),
  /** What happens to a row longer than max_seq_length. */
  truncation: z.enum(["refuse", "truncate"]).default("refuse"),
  /** Encode strings such as "</s>" inside a row's own text as plain text, not as the special token they name. */
  split_special_tokens: z.boolean().default(true),
  /** A new order of the packed rows for each epoch, from the job's seed; else the order of the file. */
  shuffle: z.boolean().default(true),
  /** The slice of the training file that is evaluated. */
  eval_split: z.string().min(1).optional(),
  /** Rows that are drawn by the seed, evaluated and not trained on: below 1 a share of all, else a count. */
  test_size: z.number().positive().refine((value) => value < 1 || Number.isInteger(value), {
    error: "a share of the rows below 1, or a whole number of rows, is needed",
  }).optional(),
});
export type DatasetSpec = z.output<typeof datasetSchema>;

/**
 * Local steps with an outer optimizer (DiLoCo, decision 0011): for links where even 8 bits are too much. Each
 * step of the job is then an outer step: replicas go some optimizer steps by themselves, and the mean of
 * their changes is the gradient of SGD with Nesterov's momentum.
 */
export const localStepsSchema = z.strictObject({
  inner_steps: z.int().min(1).max(1000).default(25).describe(
    "Optimizer steps of a replica between two exchanges: bytes fall by inner_steps · replicas",
  ),
  replicas: z.int().min(1).max(1000).default(4).describe(
    "Inner loops of a step, done in parallel: no more workers than these have work",
  ),
  outer_learning_rate: z.number().positive().default(1).describe(
    "Of SGD with Nesterov's momentum on the mean change; with 1, and momentum 0, the mean is taken as it is",
  ),
  outer_momentum: z.number().min(0).lt(1).default(0),
});
export type LocalStepsSpec = z.output<typeof localStepsSchema>;

/** How the workers of a job work together. */
export const fleetSchema = z.strictObject({
  /** Decision 0008. */
  gradient_codec: z.enum(["exact", "int8"]).default("exact").describe(
    "How gradients travel. exact: the result does not depend on who did the work. int8: a quarter of the bytes, for thin " +
      "links; all workers agree still, but the result depends on who did the work",
  ),
  local_steps: localStepsSchema.nullable().default(null).describe(
    "Replicas train by themselves for some steps, and what they have changed is averaged; null: without",
  ),
  /** Decision 0012, as the next one. */
  audit_rate: z.number().min(0).max(1).default(0).describe(
    "The share of micro-batches (with local_steps: of inner loops) that a second worker with the same GPU computes again, to " +
      "compare the bits",
  ),
  audit_unresolved: z.enum(["fail", "continue"]).default("fail").describe(
    "What becomes of the job if two workers give different bits, each reproducibly, so that neither can be proved right",
  ),
});
export type FleetSpec = z.output<typeof fleetSchema>;

/** Everything that decides a job's result. Unknown fields are refused, not ignored. */
export const jobSpecSchema = z.strictObject({
  /** A folder on the coordinator, or a hub id. */
  model: z.string().min(1),
  /** The id of an uploaded file. */
  training_file: z.string().min(1),
  seed: z.int().min(0).max(2 ** 31 - 1).default(42),
  lora: loraSchema.prefault({}),
  quantization: quantizationSchema.prefault({}),
  training: trainingSchema.prefault({}),
  dataset: datasetSchema.prefault({}),
  fleet: fleetSchema.prefault({}),
  /** An earlier job's result that is trained on from; left out: a fresh adapter. No client writes it: `model` names it. */
  initial_adapter: z.strictObject({ model: z.string(), sha256: z.string() }).optional(),
  /**
   * The checkpoint of an earlier job whose whole training state this one goes on from, after that step. No client writes it:
   * `training.resume_from_checkpoint` names it. The digest is the state's.
   */
  resumed_state: z.strictObject({ model: z.string(), step: z.int().positive(), digest: z.string() })
    .optional(),
});
export type JobSpec = z.output<typeof jobSpecSchema>;
