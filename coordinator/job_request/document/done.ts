/** What lorafleet does with each field of a job, in a sentence for docs/fields.md. */
export const DONE: Readonly<Record<string, string>> = {
  seed: "Starts the adapter, the dropout masks and the order of rows",

  "lora.r": "The rank",
  "lora.lora_alpha": "The adapter's result is multiplied by lora_alpha / r",
  "lora.lora_dropout": "From a counter-based generator, so that masks do not depend on the worker",
  "lora.bias": "Biases stay as they are",
  "lora.task_type": "Causal language models",
  "lora.use_rslora": "lora_alpha / √r instead of lora_alpha / r",
  "lora.target_modules":
    'Ends of names, "all-linear", or a regular expression for whole names; a name that matches nothing is refused',
  "lora.init_lora_weights":
    "A from Kaiming-uniform numbers, or normal ones of deviation 1/r, by the job's seed; B zero. `true` is the former. " +
    '"pissa" and "pissa_niter_N" start from each weight\'s largest singular values and train on the rest in NF4 (training.md)',
  "lora.exclude_modules": "Modules without an adapter, by ends of names or a regular expression",
  "lora.layers_to_transform": "Numbers of the layers that get an adapter, with listed target_modules",
  "lora.layers_pattern": "What comes before a layer's number, if not any name",
  "lora.rank_pattern":
    "Ranks of single modules by regular expressions for ends of names, as in PEFT; keys that overlap are refused",
  "lora.alpha_pattern": "The same for lora_alpha; with use_rslora each module's own rank counts",
  "lora.base_model_name_or_path": "What the adapter's configuration calls its base model",
  "lora.revision": "The base model's revision in the adapter's configuration",

  "quantization.load_in_4bit": "Base models are always in NF4",
  "quantization.bnb_4bit_quant_type": "The same codes and scales as bitsandbytes",
  "quantization.bnb_4bit_use_double_quant": "The blocks' maxima in 8 bits",
  "quantization.bnb_4bit_compute_dtype": "Any of them is computed in float32",

  "training.num_train_epochs": "Fractions end within an epoch",
  "training.max_steps": "Optimizer steps; above 0 it takes precedence over the epochs",
  "training.per_device_train_batch_size": "Packed rows in a micro-batch",
  "training.gradient_accumulation_steps":
    "Micro-batches in a step of the whole fleet: the batch does not grow with the number of workers",
  "training.learning_rate": "The highest rate of the schedule",
  "training.lr_scheduler_type": "The rates of transformers' get_scheduler",
  "training.lr_scheduler_kwargs":
    "The schedule's arguments: num_cycles, min_lr, min_lr_rate, warmup_lr_rate, lr_end, power, timescale, num_decay_steps, " +
    "num_stable_steps, warmup_type, decay_type, min_lr_ratio, each where transformers' schedule has it",
  "training.warmup_ratio": "The share of all steps in which the rate rises",
  "training.warmup_steps": "Above 0 instead of warmup_ratio: a count of steps, or below 1 a share of them",
  "training.weight_decay": "Decoupled, after the update, as in bitsandbytes",
  "training.adam_beta1": "As in AdamW",
  "training.adam_beta2": "As in AdamW",
  "training.adam_epsilon": "As in AdamW",
  "training.max_grad_norm": "Clips the whole gradient's L2 norm; 0 clips nothing",
  "training.optim":
    "One AdamW with moments in 32 bits, in bitsandbytes' order; paging is CUDA's way to save memory",
  "training.neftune_noise_alpha":
    "Noise on embeddings while training, in ±alpha/√(L·d) with L the tokens of the document, not of a padded batch; from the " +
    "job's seed, so that it does not depend on the worker",
  "training.label_smoothing_factor":
    "As transformers' LabelSmoother; the loss that is reported is the smoothed one",
  "training.gradient_checkpointing": "Allows a worker to recompute activations, with bit-identical gradients",
  "training.save_strategy": "When checkpoints are kept",
  "training.save_steps": 'With save_strategy "steps": a count of steps, or below 1 a share of them',
  "training.save_only_model": "Checkpoints without the optimizer's moments",
  "training.eval_strategy":
    "Rows of validation_file, dataset.eval_split or dataset.test_size are evaluated after each epoch or every eval_steps, and at " +
    "the end",
  "training.eval_steps": "A count of steps, or below 1 a share of them; logging_steps if left out",
  "training.eval_delay": "No evaluation before so many epochs or steps",
  "training.eval_on_start": "Also before the first step",
  "training.per_device_eval_batch_size":
    "Rows of a micro-batch of an evaluation, within the tokens of one of training",
  "training.load_best_model_at_end":
    "The result is the adapter of the best evaluation; a checkpoint is kept after each, whatever save_strategy says",
  "training.metric_for_best_model": "eval_loss or eval_mean_token_accuracy",
  "training.greater_is_better": "By the metric if left out",
  "training.early_stopping_patience":
    "Of `EarlyStoppingCallback`: evaluations in a row without improvement after which training ends",
  "training.early_stopping_threshold": "How much an improvement is at least",
  "training.save_total_limit":
    "Older checkpoints are deleted, but never the best, the newest, or one that is being read",
  "training.on_divergence":
    "What follows when the loss explodes or is not finite: the job fails with the reason, or once goes on from the last good " +
    'training state with half the learning rate; "stop" if left out',
  "training.logging_steps":
    "How often trackers get a point: a count of steps, or below 1 a share of them; every step's metrics are in the job's events",

  "dataset.shuffle_seed":
    "The rows are shuffled by it before `split` takes its slice, into the order of `datasets`' `shuffle(seed=…)`",
  "dataset.field":
    "The field of a JSON file's object that holds the rows, as `field` of `datasets`' JSON loader",
  "dataset.sample_by":
    "What a row of plain text is, as in `datasets`' text loader: `line`, `paragraph` or `document`",
  "dataset.path": "A dataset on the hub in place of a training file",
  "dataset.name": "Its configuration, as `datasets` names it",
  "dataset.revision": "A branch, a tag or a commit of it; the job keeps the commit",
  "dataset.split": "The part of the data that is trained on",
  "dataset.column_mapping": "What the file calls the columns of the forms of rows",
  "dataset.text_field": "The column of plain text",
  "dataset.weight_field":
    "The column with each row's weight in the loss: a step's loss is Σ weight · loss / Σ weight over all labels",
  "dataset.message_weight_field":
    "The key with an assistant message's weight in the loss, a number from 0 to 1000, times its row's; left out: OpenAI's " +
    "`weight`, which is 0 or 1",
  "dataset.packing": "Several documents in a row of tokens",
  "dataset.packing_strategy": "bfd keeps documents whole and apart; wrapped cuts one stream of tokens",
  "dataset.max_seq_length": "The longest row in tokens",
  "dataset.response_template":
    "Plain text is trained from each response template on; found in the text, not in its tokens",
  "dataset.instruction_template": "Up to which a response is trained",
  "dataset.completion_only_loss": "Trains on completions and assistant turns alone",
  "dataset.assistant_only_loss": "The same for chats alone",
  "dataset.truncation": "What becomes of a row that is too long",
  "dataset.split_special_tokens": "A special token's name within a row's text stays plain text",
  "dataset.eval_split": "The part of the data that is evaluated",
  "dataset.test_size":
    "Rows that are evaluated instead of trained on, drawn by the job's seed as `train_test_split` draws them: a share or a count",
  "dataset.shuffle": "A new order of rows for each epoch",

  "fleet.gradient_codec": "How gradients travel",
  "fleet.local_steps": "Replicas train by themselves between two exchanges (local_steps.md)",
  "fleet.audit_rate": "The share of work that a second worker computes again",
  "fleet.audit_unresolved": "What becomes of a job in which two workers disagree",
};
