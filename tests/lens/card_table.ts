/** `--card all`: one line for each card. */
import { LoraFleetError } from "../../shared/errors.ts";
import { LENS_CARDS, type LensCard, memoryOf } from "./cards.ts";
import type { LensOptions } from "./options.ts";
import { recordStep } from "./step.ts";
import { summarize } from "./summary.ts";

interface CardResult {
  readonly card: LensCard;
  /** Null: it does not fit. */
  readonly step: CardStep | null;
  /** Why not, or how many layers are kept. */
  readonly note: string;
}

interface CardStep {
  readonly plannedGib: number;
  readonly teraflop: number;
  readonly tokensPerSecond: number;
  readonly longestSubmitMs: number;
}

async function tryCard(card: LensCard, options: LensOptions): Promise<CardResult> {
  const own = { ...options, memoryBytes: options.isBudgetGiven ? options.memoryBytes : memoryOf(card) };
  try {
    const record = await recordStep(options.spec, card, own);
    const { flops, stepSeconds, longestSubmitSeconds, longestFirstSubmitSeconds } = summarize(record, card);
    const step = {
      plannedGib: record.plannedBytes / 2 ** 30,
      teraflop: flops / 1e12,
      tokensPerSecond: options.tokens * options.microBatches / stepSeconds,
      longestSubmitMs: 1000 * Math.max(longestSubmitSeconds, longestFirstSubmitSeconds),
    };
    return { card, step, note: /(?:all )?\d+(?: of \d+)? layers' are kept/.exec(record.planText)?.[0] ?? "" };
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError) || thrown.code !== "does_not_fit") throw thrown;
    return {
      card,
      step: null,
      note: thrown.message.split("\n")[0]!.replace(/^Planning memory failed: /, ""),
    };
  }
}

export async function tryCards(
  options: LensOptions,
  cards: readonly LensCard[] = LENS_CARDS,
): Promise<CardResult[]> {
  const results = [];
  for (const card of cards) results.push(await tryCard(card, options));
  return results;
}

const line = (name: string, cells: readonly string[], note: string) =>
  `${name.padEnd(22)}${cells.map((cell) => cell.padStart(12)).join("")}  ${note}`.trimEnd();

export function cardLines(results: readonly CardResult[]): string {
  const rows = results.map(({ card, step, note }) => {
    if (step === null) return line(card.name, ["–", "–", "–", "–"], note);
    const { plannedGib, teraflop, tokensPerSecond, longestSubmitMs } = step;
    const cells = [
      plannedGib.toFixed(2),
      teraflop.toFixed(1),
      tokensPerSecond.toFixed(0),
      longestSubmitMs.toFixed(0),
    ];
    return line(card.name, cells, note);
  });
  return [line("card", ["GiB", "TFLOP", "tokens/s", "submit, ms"], ""), ...rows].join("\n");
}

export function cardsJson(results: readonly CardResult[]) {
  return results.map(({ card, step, note }) => ({
    card: card.key,
    fits: step !== null,
    note,
    ...step !== null && {
      planned_gib: step.plannedGib,
      teraflop: step.teraflop,
      tokens_per_second: step.tokensPerSecond,
      longest_submit_ms: step.longestSubmitMs,
    },
  }));
}
