/** Fields of `TrainingArguments` about experiment trackers: they belong to the job's record, not to its specification. */
import { type FieldRules, tracked } from "./rule.ts";

export const TRACKING_RULES: FieldRules = {
  report_to: tracked(
    'The trackers: `"tensorboard"`, `"mlflow"`, `"wandb"`, `"jsonl"`, a list of them, `"all"` or `"none"` (trackers.md); ' +
      '`"none"` if left out',
  ),
  run_name: tracked("The run's name at the trackers; the job's suffix or id if left out"),
  logging_dir: tracked("The folder of event files, below the coordinator's own folder of runs"),
  logging_strategy: tracked(
    'When trackers get a point: `"steps"`, `"epoch"` or `"no"`; `"steps"` if left out',
  ),
  logging_first_step: tracked(
    "Whether trackers get a point after the first step in any case; `false` if left out",
  ),
};
