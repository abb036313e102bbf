/** Which rows a job evaluates, and when: transformers' fields, OpenAI's `validation_file` and `datasets`' splits. */
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import { type Draft, put } from "./draft.ts";
import { invalidField, show } from "./errors.ts";

/** What transformers evaluates by if nothing else is set: its `logging_steps`. */
const DEFAULT_EVAL_STEPS = 500;

const SOURCES = "validation_file, dataset.eval_split or dataset.test_size";

/** Fields that need an evaluation. */
export const DEPENDENT_ON_EVALUATION = [
  "eval_on_start",
  "load_best_model_at_end",
  "early_stopping_patience",
] as const;

/** Fields that say how an evaluation is done, and nothing without one. */
const MANNER = [
  ...["eval_steps", "eval_delay", "per_device_eval_batch_size", "metric_for_best_model"] as const,
  ...["greater_is_better", "early_stopping_threshold"] as const,
] as const;

/** Fills in what follows from the fields that are set. */
export function applyEvaluation(draft: Draft, validationFile: string | null): void {
  const { fields } = draft;
  const has = (path: string) => fields.has(path);
  const set = (path: string, value: unknown) => put(draft, path, value, path);
  const isGiven = validationFile !== null || has("dataset.eval_split") || has("dataset.test_size");
  if (isGiven && !has("training.eval_strategy")) {
    set("training.eval_strategy", has("training.eval_steps") ? "steps" : "epoch");
  }
  const strategy = fields.get("training.eval_strategy")?.value;
  if (strategy === "steps" && !has("training.eval_steps")) {
    const logged = fields.get("training.logging_steps")?.value;
    set("training.eval_steps", typeof logged === "number" && logged > 0 ? logged : DEFAULT_EVAL_STEPS);
  }
}

/** Refuses what contradicts itself; warns of what is prepared for nothing. */
export function checkEvaluation(
  draft: Pick<Draft, "warnings">,
  spec: JobSpec,
  validationFile: string | null,
): void {
  const { training, dataset } = spec;
  const given = [
    ...validationFile === null ? [] : ["validation_file"],
    ...dataset.eval_split === undefined ? [] : ["dataset.eval_split"],
    ...dataset.test_size === undefined ? [] : ["dataset.test_size"],
  ];
  if (given.length > 1) {
    throw invalidField(
      given[1]!,
      `${given.join(" and ")} are set, but a job evaluates one of them; leave one`,
    );
  }
  const strategy = training.eval_strategy ?? "no";
  if (strategy !== "no" && given.length === 0) {
    const message = `training.eval_strategy is ${
      show(strategy)
    }, but there are no rows to evaluate; set ${SOURCES}`;
    throw invalidField("training.eval_strategy", message);
  }
  if (strategy === "no") checkWithout(draft, spec, given[0] ?? null);
}

/** Nothing is evaluated. */
function checkWithout(
  draft: Pick<Draft, "warnings">,
  { training, dataset }: JobSpec,
  source: string | null,
): void {
  const needy = DEPENDENT_ON_EVALUATION.find((field) =>
    training[field] !== undefined && training[field] !== false
  );
  if (needy !== undefined) {
    const what = training.eval_strategy === undefined
      ? "nothing is evaluated"
      : 'training.eval_strategy is "no"';
    const message =
      `training.${needy} is ${show(training[needy])}, but ${what}; set training.eval_strategy ` +
      `to "epoch" or "steps", and one of ${SOURCES}`;
    throw invalidField(`training.${needy}`, message);
  }
  const idle = MANNER.filter((field) => training[field] !== undefined).map((field) => `training.${field}`);
  if (idle.length > 0) {
    draft.warnings.push(
      `${idle.join(", ")} ${idle.length === 1 ? "has" : "have"} no effect: nothing is evaluated.`,
    );
  }
  if (source === null) return;
  if (dataset.test_size !== undefined) {
    const message =
      `dataset.test_size is ${dataset.test_size}, but training.eval_strategy is "no": these rows would be ` +
      `neither trained on nor evaluated; leave one of the two out`;
    throw invalidField("dataset.test_size", message);
  }
  draft.warnings.push(`${source} has no effect: training.eval_strategy is "no".`);
}
