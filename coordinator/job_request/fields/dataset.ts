/** Fields about the data; TRL's `SFTConfig` has them among those of training. */
import { alias, explained, type FieldRules, meaningless, only, without } from "./rule.ts";

const NO_PADDING = "rows are laid end to end without padding";

/** `SFTConfig` extends `TrainingArguments`, so a pasted `training` group may also describe the dataset. */
export const DATASET_ALIASES: FieldRules = {
  dataset_text_field: alias("dataset.text_field"),
  max_length: alias("dataset.max_seq_length"),
  eval_packing: meaningless("rows that are evaluated are packed as those that are trained on"),
  ...without(
    "the coordinator prepares the rows in a process of its own, with bounded memory",
    "dataset_num_proc dataset_batch_size",
  ),
  dataset_kwargs: only([{}, { skip_prepare_dataset: false }], "no such options"),
  padding_free: meaningless(NO_PADDING),
  pad_to_multiple_of: meaningless(NO_PADDING),
  truncation_mode: only(["keep_start"], 'rows are cut at their end (dataset.truncation: "truncate")'),
  // Shuffles the file before the trainer's own shuffling, which is dataset.shuffle.
  shuffle_dataset: explained("the rows are shuffled for each epoch in any case (dataset.shuffle)", [false]),
  ...without(
    "rows are packed from their exact lengths, not from an estimate",
    "num_of_sequences chars_per_token",
  ),
};

export const DATASET_RULES: FieldRules = {
  ...DATASET_ALIASES,
  // Unsloth's train_on_responses_only.
  instruction_part: alias("dataset.instruction_template"),
  response_part: alias("dataset.response_template"),
  format: meaningless("the file's name and content tell its format"),
};
