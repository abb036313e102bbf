/**
 * A job's events → the points that trackers show, as a pure decision: (folding, event, rule) → (folding, point). Training points
 * appear every `logging_steps` steps with the mean loss since the last one, as transformers' Trainer logs them.
 */
import { z } from "zod";
import type { JobEvent } from "../../jobs/stores/job_store.ts";
import type { Point } from "../run/tracker.ts";

export interface LoggingRule {
  readonly strategy: "no" | "steps" | "epoch";
  /** A count of steps; below 1 a share of all steps. */
  readonly loggingSteps: number;
  readonly firstStep: boolean;
  readonly workerHourPrice: number | null;
}

const sumSchema = z.strictObject({ total: z.number(), weight: z.number() });

/** Finite numbers alone: it is stored as JSON. */
export const foldingSchema = z.strictObject({
  trainStep: z.int(),
  evalStep: z.int(),
  /** Whole epochs that a point has covered. */
  epochs: z.int(),
  /** Means since the last point. A value that is not finite makes the mean `broken`. */
  means: z.record(
    z.string(),
    sumSchema.extend({ broken: z.enum(["NaN", "Infinity", "-Infinity"]).optional() }),
  ),
  tokens: z.number(),
  seconds: z.number(),
  /** Since the beginning. */
  allTokens: z.number(),
  allSeconds: z.number(),
  allLoss: sumSchema,
  workerSeconds: z.number(),
});
export type Folding = z.output<typeof foldingSchema>;

export const NOTHING_FOLDED: Folding = {
  trainStep: 0,
  // Before the first step there may be an evaluation.
  evalStep: -1,
  epochs: 0,
  means: {},
  tokens: 0,
  seconds: 0,
  allTokens: 0,
  allSeconds: 0,
  allLoss: { total: 0, weight: 0 },
  workerSeconds: 0,
};

/** The event's fields that become a mean over the steps of a point, and the names that the Trainers have for them. */
const MEANS: Readonly<Record<string, string>> = {
  train_loss: "loss",
  train_mean_token_accuracy: "mean_token_accuracy",
};
/** Those of which the newest value counts. */
const NEWEST = ["learning_rate", "grad_norm", "epoch", "workers"];

/** OpenAI's names in the event of an evaluation, and the Trainers'; names that begin with `eval_` are these already. */
const EVALUATIONS: Readonly<Record<string, string>> = {
  valid_loss: "eval_loss",
  full_valid_loss: "eval_loss",
  valid_mean_token_accuracy: "eval_mean_token_accuracy",
  full_valid_mean_token_accuracy: "eval_mean_token_accuracy",
  eval_seconds: "eval_runtime",
  eval_tokens: "eval_num_tokens",
};

type Data = Readonly<Record<string, unknown>>;
type Folded = { readonly folding: Folding; readonly point: Point | null };

/**
 * Any metrics event is taken: one with `valid_…` or `eval_…` numbers is an evaluation after `step`, one with `train_loss` a
 * committed step.
 * A step that was repeated after a rollback has the bits it had before and appears once.
 */
export function foldEvent(folding: Folding, event: JobEvent, rule: LoggingRule): Folded {
  const { type, data, createdAt } = event;
  const step = data?.["step"];
  if (type !== "metrics" || data === null || typeof step !== "number") return { folding, point: null };
  // An evaluation's event repeats the training loss of its step.
  if (Object.keys(data).some((field) => field.startsWith("eval_") || Object.hasOwn(EVALUATIONS, field))) {
    return foldEvaluation(folding, data, step, createdAt);
  }
  if (Object.hasOwn(data, "train_loss")) return foldStep(folding, data, step, createdAt, rule);
  return { folding, point: null };
}

function foldStep(before: Folding, data: Data, step: number, at: number, rule: LoggingRule): Folded {
  const seconds = finite(data["step_seconds"]);
  // Time costs money even when a step is repeated.
  const spent = { ...before, workerSeconds: before.workerSeconds + seconds * finite(data["workers"]) };
  if (step <= before.trainStep) return { folding: spent, point: null };
  const tokens = finite(data["tokens"]);
  const loss = numberOf(data["train_loss"]);
  const folding: Folding = {
    ...spent,
    trainStep: step,
    means: addMeans(before.means, data),
    tokens: before.tokens + tokens,
    seconds: before.seconds + seconds,
    allTokens: before.allTokens + tokens,
    allSeconds: before.allSeconds + seconds,
    allLoss: Number.isFinite(loss)
      ? { total: before.allLoss.total + loss, weight: before.allLoss.weight + 1 }
      : before.allLoss,
  };
  const epoch = typeof data["epoch"] === "number" ? data["epoch"] : 0;
  if (!isLogged(folding, epoch, finite(data["total_steps"]), rule)) return { folding, point: null };
  const values = { ...meansOf(folding), ...valuesOf(data, NEWEST), ...totalsOf(folding, rule) };
  const rest = { ...folding, means: {}, tokens: 0, seconds: 0, epochs: Math.floor(epoch + EPSILON) };
  return { folding: rest, point: { step, at, values } };
}

/** Epochs are sums of fractions. */
const EPSILON = 1e-6;

/** The last step has a point too, so that nothing is lost between it and the last round one. */
function isLogged(folding: Folding, epoch: number, totalSteps: number, rule: LoggingRule): boolean {
  const step = folding.trainStep;
  if (rule.strategy === "no") return false;
  if ((rule.firstStep && step === 1) || step === totalSteps) return true;
  if (rule.strategy === "epoch") return Math.floor(epoch + EPSILON) > folding.epochs;
  const every = rule.loggingSteps < 1 ? Math.ceil(rule.loggingSteps * totalSteps) : rule.loggingSteps;
  return every <= 1 || step % Math.round(every) === 0;
}

function foldEvaluation(before: Folding, data: Data, step: number, at: number): Folded {
  if (step <= before.evalStep) return { folding: before, point: null };
  const named = Object.entries(data).map(([field, value]) => [EVALUATIONS[field] ?? field, value] as const)
    .filter(([name]) => name.startsWith("eval_"));
  const values = valuesOf({ ...data, ...Object.fromEntries(named) }, [
    ...named.map(([name]) => name),
    "epoch",
  ]);
  // A loss that is not finite is left out of the event.
  const loss = Object.hasOwn(values, "eval_mean_token_accuracy") ? { eval_loss: NaN } : {};
  return { folding: { ...before, evalStep: step }, point: { step, at, values: { ...loss, ...values } } };
}

function addMeans(before: Folding["means"], data: Data): Folding["means"] {
  const means = { ...before };
  for (const [field, name] of Object.entries(MEANS)) {
    if (!Object.hasOwn(data, field)) continue;
    const value = numberOf(data[field]);
    const { total, weight, broken } = means[name] ?? { total: 0, weight: 0 };
    means[name] = Number.isFinite(value)
      ? { total: total + value, weight: weight + 1, ...broken === undefined ? {} : { broken } }
      : { total, weight, broken: String(value) as "NaN" };
  }
  return means;
}

function meansOf({ means }: Folding): Record<string, number> {
  return Object.fromEntries(
    Object.entries(means).map(([name, { total, weight, broken }]) => [
      name,
      broken === undefined ? total / weight : Number(broken),
    ]),
  );
}

function totalsOf({ tokens, seconds, allTokens, workerSeconds }: Folding, rule: LoggingRule) {
  return {
    num_tokens: allTokens,
    ...seconds > 0 ? { tokens_per_second: tokens / seconds } : {},
    ...rule.workerHourPrice === null ? {} : { cost: workerSeconds / 3600 * rule.workerHourPrice },
  };
}

/** What transformers logs when a training ends. */
export function summaryOf(folding: Folding): Record<string, number> {
  const { allLoss, allSeconds, allTokens, trainStep } = folding;
  return {
    ...allLoss.weight > 0 ? { train_loss: allLoss.total / allLoss.weight } : {},
    ...allSeconds > 0
      ? {
        train_runtime: allSeconds,
        train_steps_per_second: trainStep / allSeconds,
        train_tokens_per_second: allTokens / allSeconds,
      }
      : {},
  };
}

function valuesOf(data: Data, names: readonly string[]): Record<string, number> {
  const present = names.filter((name) => data[name] === null || typeof data[name] === "number");
  return Object.fromEntries(present.map((name) => [name, numberOf(data[name])]));
}

/** Events are stored as JSON, in which a number that is not finite is null. */
function numberOf(value: unknown): number {
  return typeof value === "number" ? value : NaN;
}

function finite(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}
