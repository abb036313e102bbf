/** A recorded step in numbers: by kind of kernel, by submit, in whole. */
import type { LensCard } from "./cards.ts";
import { bytesOf } from "./costs/command_cost.ts";
import { secondsOf, submitSeconds } from "./predict.ts";
import type { PricedCommand } from "./priced_command.ts";
import type { StepRecord } from "./step.ts";

/** Sums over a group of commands. */
export interface Totals {
  readonly dispatches: number;
  readonly workgroups: number;
  readonly flops: number;
  readonly bytes: number;
  /** Predicted on the card, without the submits' overhead. */
  readonly seconds: number;
}

export interface StepSummary extends Totals {
  /** By kind, the slowest first. */
  readonly kinds: Readonly<Record<string, Totals>>;
  readonly submits: number;
  /** Predicted seconds of the longest one. */
  readonly longestSubmitSeconds: number;
  /** In the first micro-batch of a worker, when it knows nothing of the card's speed. */
  readonly firstSubmits: number;
  readonly longestFirstSubmitSeconds: number;
  /** Of all submits, one after the other. */
  readonly stepSeconds: number;
}

export function totalsOf(commands: readonly PricedCommand[], card: LensCard): Totals {
  let [dispatches, workgroups, flops, bytes, seconds] = [0, 0, 0, 0, 0];
  for (const priced of commands) {
    const { command, cost } = priced;
    if (command.kind === "dispatch") {
      dispatches++;
      workgroups += command.groups.reduce((product, size) => product * size, 1);
    }
    flops += cost.flops;
    bytes += bytesOf(cost);
    seconds += secondsOf(priced, card);
  }
  return { dispatches, workgroups, flops, bytes, seconds };
}

export function summarize(
  { submits, firstSubmits }: Pick<StepRecord, "submits" | "firstSubmits">,
  card: LensCard,
): StepSummary {
  const all = submits.flat();
  const kinds = Object.entries(Object.groupBy(all, ({ cost }) => cost.kind))
    .map(([kind, commands]) => [kind, totalsOf(commands!, card)] as const)
    .toSorted(([, a], [, b]) => b.seconds - a.seconds);
  const times = submits.map((commands) => submitSeconds(commands, card));
  return {
    ...totalsOf(all, card),
    kinds: Object.fromEntries(kinds),
    submits: submits.length,
    longestSubmitSeconds: Math.max(...times),
    firstSubmits: firstSubmits.length,
    longestFirstSubmitSeconds: Math.max(...firstSubmits.map((commands) => submitSeconds(commands, card))),
    stepSeconds: times.reduce((sum, seconds) => sum + seconds, 0),
  };
}
