/**
 * Fields that another field makes meaningless. The libraries ignore them in silence; here each gets a warning in the job's events,
 * so that nobody waits for what does not come. What contradicts itself is refused elsewhere.
 */
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import { isEvaluated } from "../planning/preparation/dataset_part.ts";
import { show } from "./errors.ts";
import { isLibraryDefault } from "./library_fields.ts";

interface Rule {
  /** By group and name. */
  readonly fields: readonly string[];
  /** Why they have no effect; null: they have one. */
  readonly why: (spec: JobSpec) => string | null;
}

const is = (field: string, value: unknown) => `${field} is ${show(value)}`;

const RULES: readonly Rule[] = [
  {
    fields: ["training.save_steps"],
    why: ({ training: { save_strategy: strategy } }) =>
      strategy === "steps" ? null : is("training.save_strategy", strategy),
  },
  {
    fields: ["training.save_total_limit"],
    why: ({ training }) =>
      training.save_strategy !== "no" || training.load_best_model_at_end === true
        ? null
        : `${is("training.save_strategy", "no")}, so that there is one checkpoint`,
  },
  {
    fields: ["training.eval_steps"],
    why: ({ training: { eval_strategy: strategy } }) =>
      strategy === "epoch" ? is("training.eval_strategy", strategy) : null,
  },
  {
    fields: ["training.early_stopping_threshold"],
    why: (spec) =>
      !isEvaluated(spec) || spec.training.early_stopping_patience !== undefined
        ? null
        : "training.early_stopping_patience is not set",
  },
  {
    fields: ["training.metric_for_best_model", "training.greater_is_better"],
    why: (spec) => {
      const { load_best_model_at_end: isBest, early_stopping_patience: patience, save_total_limit: limit } =
        spec.training;
      return !isEvaluated(spec) || isBest === true || patience !== undefined || limit !== undefined
        ? null
        : "neither load_best_model_at_end nor early_stopping_patience asks for the best evaluation";
    },
  },
  {
    fields: ["training.num_train_epochs"],
    why: ({ training: { max_steps: steps } }) => steps > 0 ? is("training.max_steps", steps) : null,
  },
  {
    fields: ["training.warmup_ratio"],
    why: ({ training: { warmup_ratio: ratio, warmup_steps: steps } }) =>
      ratio > 0 && steps > 0 ? is("training.warmup_steps", steps) : null,
  },
  {
    fields: ["training.warmup_ratio", "training.warmup_steps"],
    why: ({ training: { lr_scheduler_type: type } }) =>
      type === "constant" ? `${is("training.lr_scheduler_type", type)}, which has no warm-up` : null,
  },
  {
    fields: ["dataset.packing_strategy"],
    why: ({ dataset: { packing } }) => packing ? null : is("dataset.packing", packing),
  },
  {
    fields: ["fleet.audit_unresolved"],
    why: ({ fleet: { audit_rate: rate } }) => rate === 0 ? is("fleet.audit_rate", rate) : null,
  },
];

/**
 * A sentence for each field that was given for nothing. A library's default is none: whole configurations are pasted.
 * @param given the paths of fields that the client set
 */
export function idleWarnings(spec: JobSpec, given: ReadonlySet<string>): string[] {
  const named = new Set<string>();
  return RULES.flatMap(({ fields, why }) => {
    const reason = why(spec);
    if (reason === null) return [];
    return fields.flatMap((path) => {
      const [group, field] = path.split(".") as ["training" | "dataset" | "fleet", string];
      const value = (spec[group] as Readonly<Record<string, unknown>>)[field];
      // SFTConfig has fields of the dataset among those of the training.
      const isDefault = [group, "training"].some((group) => isLibraryDefault(group, field, value));
      const isSaid = given.has(path) && !named.has(path) && value !== 0 && !isDefault;
      if (!isSaid) return [];
      named.add(path);
      return [`${path} (${show(value)}) has no effect: ${reason}.`];
    });
  });
}
