/** Timed dispatches by kind of kernel, beside what the lens predicts for a card. */
import type { LensCard } from "../../lens/cards.ts";
import { bytesOf, costOf } from "../../lens/costs/command_cost.ts";
import { secondsOf } from "../../lens/predict.ts";
import type { TimedDispatch } from "./timed/timed_device.ts";

export interface KindTime {
  readonly kind: string;
  readonly dispatches: number;
  readonly seconds: number;
  /** Null without a card. */
  readonly predictedSeconds: number | null;
  readonly flops: number;
  readonly bytes: number;
}

/** @param card null: nothing is predicted */
export function kindTimes(
  timed: readonly TimedDispatch[],
  card: LensCard | null,
): { readonly flops: number; readonly kinds: readonly KindTime[] } {
  const priced = timed.map(({ command, seconds }) => ({ command, seconds, cost: costOf(command) }));
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const kinds = Object.entries(Object.groupBy(priced, ({ cost }) => cost.kind)).map((
    [kind, group],
  ): KindTime => ({
    ...{ kind, dispatches: group!.length },
    seconds: sum(group!.map(({ seconds }) => seconds)),
    predictedSeconds: card === null ? null : sum(group!.map((each) => secondsOf(each, card))),
    flops: sum(group!.map(({ cost }) => cost.flops)),
    bytes: sum(group!.map(({ cost }) => bytesOf(cost))),
  }));
  return {
    flops: sum(priced.map(({ cost }) => cost.flops)),
    kinds: kinds.toSorted((a, b) => b.seconds - a.seconds),
  };
}
