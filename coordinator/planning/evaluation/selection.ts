/**
 * What a job makes of its evaluations, as transformers does (`Trainer._determine_best_metric`, `EarlyStoppingCallback`): which step
 * is the best so far, and when training ends early. Pure.
 */
import type { TrainingSpec } from "../../../shared/job/job_spec_schema.ts";

/** The outcome of one evaluation. */
export interface Evaluated {
  readonly step: number;
  /** Mean cross entropy per token that counts, in nats; null if it is not finite. */
  readonly loss: number | null;
  /** Share of the tokens that count which the model finds most likely. */
  readonly accuracy: number;
}

export interface SelectionRule {
  readonly metric: "loss" | "mean_token_accuracy";
  readonly isGreaterBetter: boolean;
  /** Null: training never ends early. */
  readonly patience: number | null;
  readonly threshold: number;
}

export interface Selection {
  readonly best: { readonly step: number; readonly value: number } | null;
  /** Evaluations in a row that early stopping counts as no improvement. */
  readonly withoutImprovement: number;
}

/** An evaluation as it is reported. */
export interface EvaluationOutcome extends Evaluated {
  /** Tokens that count. */
  readonly labelCount: number;
  /** So far, this evaluation included; null for none. */
  readonly best: Selection["best"];
  readonly seconds: number;
  readonly workerCount: number;
}

export const NO_SELECTION: Selection = { best: null, withoutImprovement: 0 };

export function selectionRuleOf(training: TrainingSpec): SelectionRule {
  const { metric_for_best_model: metric = "loss", greater_is_better: greater = metric !== "loss" } = training;
  return {
    metric,
    isGreaterBetter: greater,
    patience: training.early_stopping_patience ?? null,
    threshold: training.early_stopping_threshold ?? 0,
  };
}

/** With one more evaluation. That before the first step is shown and not compared, as in transformers. */
export function withEvaluation(rule: SelectionRule, before: Selection, evaluated: Evaluated): Selection {
  if (evaluated.step === 0) return before;
  const value = rule.metric === "loss" ? evaluated.loss : evaluated.accuracy;
  const { best, withoutImprovement } = before;
  if (value === null) return { best, withoutImprovement: withoutImprovement + 1 };
  const isBetter = best === null || (rule.isGreaterBetter ? value > best.value : value < best.value);
  const isImprovement = best === null || (isBetter && Math.abs(value - best.value) > rule.threshold);
  return {
    best: isBetter ? { step: evaluated.step, value } : best,
    withoutImprovement: isImprovement ? 0 : withoutImprovement + 1,
  };
}

/** Of all evaluations up to a step, in order. */
export function selectionOf(rule: SelectionRule, evaluations: readonly Evaluated[], step: number): Selection {
  return evaluations.filter((evaluated) => evaluated.step <= step)
    .reduce((selection, evaluated) => withEvaluation(rule, selection, evaluated), NO_SELECTION);
}

/** Whether training ends after the newest evaluation. */
export function isExhausted({ patience }: SelectionRule, { withoutImprovement }: Selection): boolean {
  return patience !== null && withoutImprovement >= patience;
}

/** For the user: a metric's name as the libraries log it. */
export function describeRule({ metric }: SelectionRule): string {
  return `eval_${metric}`;
}
