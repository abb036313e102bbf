/** What the steps of a run say of attempts that were discarded, of the speed, and of the time left. */
import type { StepMetrics } from "../../../deploy/client/api_client.ts";
import { median } from "../statistics.ts";

export interface TimedStep {
  readonly metrics: StepMetrics;
  /** When its event came, in seconds. */
  readonly at: number;
}

export interface Side {
  readonly name: string;
  readonly steps: readonly TimedStep[];
  readonly status: string;
  readonly adapterSha256: string | null;
  readonly heldOutLoss: number | null;
  readonly exactMatch: number | null;
}

export const HEAD = "step attempt    loss  tokens/s  s left  step s  of them discarded";

/** Seconds of a step that attempts before the counted one took; NaN if a coordinator does not say. */
export function discardedSeconds({ step_seconds = NaN, tokens = NaN, tokens_per_second }: StepMetrics) {
  return Math.max(0, step_seconds - tokens / tokens_per_second);
}

/** A step may begin with a probe of one micro-batch: what it discarded is a small part of it, not all (docs/decisions/0038). */
export function rowOf(metrics: StepMetrics): string {
  const { step, attempt = NaN, train_loss, tokens_per_second, eta_seconds, step_seconds = NaN } = metrics;
  return [
    String(step).padStart(4),
    String(attempt).padStart(8),
    train_loss.toFixed(4).padStart(8),
    tokens_per_second.toFixed(1).padStart(10),
    eta_seconds.toFixed(0).padStart(8),
    step_seconds.toFixed(1).padStart(8),
    discardedSeconds(metrics).toFixed(1).padStart(19),
  ].join("");
}

export function repeatedSteps(steps: readonly TimedStep[]): number[] {
  return steps.flatMap(({ metrics }) => (metrics.attempt ?? 1) > 1 ? [metrics.step] : []);
}

/** |predicted − real| / real time left after a quarter, a half and three quarters of the steps. */
export function etaErrors(steps: readonly TimedStep[]): number[] {
  const end = steps.at(-1)!.at;
  return [0.25, 0.5, 0.75].map((share) => {
    const { metrics, at } = steps[Math.ceil(share * steps.length) - 1]!;
    return Math.abs(metrics.eta_seconds - (end - at)) / (end - at);
  });
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** A line of the table for each measured quantity, with what it is and each side's value. */
export function comparison(sides: readonly Side[]): string {
  const of = (name: string, cell: (side: Side) => string) => [name, ...sides.map(cell)];
  const all = (side: Side, value: (metrics: StepMetrics) => number) =>
    side.steps.map(({ metrics }) => value(metrics));
  const total = (side: Side) => sum(all(side, ({ step_seconds = NaN }) => step_seconds));
  const digits = (value: number | null | undefined, places: number) => value?.toFixed(places) ?? "-";
  const percent = (value: number) => `${(100 * value).toFixed(0)} %`;
  const rows = [
    of("", ({ name }) => name),
    of("steps with more than one attempt", ({ steps }) => repeatedSteps(steps).join(", ") || "none"),
    of(
      "  how many of those after the first",
      ({ steps }) => `${repeatedSteps(steps).filter((step) => step > 1).length} of ${steps.length - 1}`,
    ),
    of("seconds of all steps", (side) => total(side).toFixed(0)),
    of("  of them discarded", (side) => {
      const discarded = sum(all(side, discardedSeconds));
      return `${discarded.toFixed(1)} (${percent(discarded / total(side))})`;
    }),
    of(
      "tokens/s as reported, median",
      (side) => median(all(side, (metrics) => metrics.tokens_per_second)).toFixed(1),
    ),
    of(
      "tokens/s of all the time",
      (side) => (sum(all(side, ({ tokens = NaN }) => tokens)) / total(side)).toFixed(1),
    ),
    of("error of the time left at 25, 50, 75 %", ({ steps }) => etaErrors(steps).map(percent).join(", ")),
    of("training loss of the last step", ({ steps }) => digits(steps.at(-1)?.metrics.train_loss, 6)),
    of("  mean of the last ten", (side) => {
      const last = all(side, ({ train_loss }) => train_loss).slice(-10);
      return digits(sum(last) / last.length, 6);
    }),
    of("held-out loss", ({ heldOutLoss }) => digits(heldOutLoss, 6)),
    of("exact match", ({ exactMatch }) => digits(exactMatch, 3)),
    of("SHA-256 of the adapter", ({ adapterSha256 }) => adapterSha256?.slice(0, 12) ?? "-"),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd())
    .join("\n");
}
