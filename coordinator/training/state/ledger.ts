/** Which micro-batches of an attempt are in whose sums: each of them exactly once, or excluded and in nobody's. Pure. */
import type { Verdict } from "../../../shared/protocol/messages_coordinator.ts";
import { mergeMaxima } from "../../../shared/exponents.ts";
import { placeAmong } from "../../../shared/protocol/sorted_members.ts";

export interface LedgerEntry {
  readonly worker: string;
  /** Tells a report that was sent twice from work that was done twice. */
  readonly claim: number;
  readonly lossSum: number;
  readonly labelCount: number;
  /** Largest |gradient| of each LoRA tensor. */
  readonly maxAbs: Float32Array;
}

export interface Ledger {
  /** By position within the step; null where nobody has been counted. */
  readonly entries: readonly (LedgerEntry | null)[];
  readonly countedCount: number;
  /** Positions that nobody is to be counted for any more, and by whose word. */
  readonly excluded: ReadonlyMap<number, readonly string[]>;
}

interface LedgerDecision {
  readonly ledger: Ledger;
  readonly verdict: Exclude<Verdict, "stale">;
  readonly reason: string;
}

export function newLedger(microBatchCount: number): Ledger {
  return {
    entries: new Array<LedgerEntry | null>(microBatchCount).fill(null),
    countedCount: 0,
    excluded: new Map(),
  };
}

/** Counts a micro-batch for a worker unless it is counted already; the same claim again gets the same answer. */
export function claimMicroBatch(ledger: Ledger, index: number, entry: LedgerEntry): LedgerDecision {
  const present = ledger.entries[index];
  const { worker } = entry;
  if (present === undefined) {
    const reason = `there is no micro-batch ${index} among ${ledger.entries.length}`;
    return { ledger, verdict: "unknown", reason };
  }
  if (ledger.excluded.has(index)) {
    return { ledger, verdict: "duplicate", reason: `micro-batch ${index} is excluded` };
  }
  if (present === null) {
    const countedCount = ledger.countedCount + 1;
    return {
      ledger: { ...ledger, entries: ledger.entries.with(index, entry), countedCount },
      verdict: "counted",
      reason: `micro-batch ${index} is in the sums of ${worker}: ${countedCount} of ${ledger.entries.length}`,
    };
  }
  if (present.worker === worker && present.claim === entry.claim) {
    return { ledger, verdict: "counted", reason: `${worker} asks again about micro-batch ${index}` };
  }
  return {
    ledger,
    verdict: "duplicate",
    reason: `micro-batch ${index} of ${worker} is already in the sums of ${present.worker}`,
  };
}

/** Without what workers had in their sums who are gone: that has to be done again. */
export function releaseWorkers(ledger: Ledger, gone: ReadonlySet<string>): Ledger {
  const entries = ledger.entries.map((entry) => entry !== null && gone.has(entry.worker) ? null : entry);
  return { ...ledger, entries, countedCount: entries.filter((entry) => entry !== null).length };
}

/** A micro-batch that nobody is to have in their sums, by the word of these workers. */
export function excludeMicroBatch(ledger: Ledger, index: number, workers: readonly string[]): Ledger {
  return { ...ledger, excluded: new Map(ledger.excluded).set(index, workers) };
}

/** Without the exclusions that rest on the word of workers who are not trusted any more. */
export function withoutWordOf(ledger: Ledger, workers: { has(worker: string): boolean }): Ledger {
  const kept = [...ledger.excluded].filter(([, tried]) => !tried.some((worker) => workers.has(worker)));
  return kept.length === ledger.excluded.size ? ledger : { ...ledger, excluded: new Map(kept) };
}

/** Positions of the micro-batches that nobody has in their sums and that are not excluded. */
export function uncounted(ledger: Ledger): number[] {
  return ledger.entries.flatMap((entry, index) =>
    entry === null && !ledger.excluded.has(index) ? [index] : []
  );
}

/** Whether every micro-batch is settled: counted or excluded. */
export function isComplete(ledger: Ledger): boolean {
  return ledger.countedCount + ledger.excluded.size === ledger.entries.length;
}

interface LedgerTotals {
  /** Added in the micro-batches' order in f64, so that it depends on nothing but their values. */
  readonly lossSum: number;
  readonly labelCount: number;
  readonly maxAbs: Float32Array;
}

/** Tokens that count in the loss, over all micro-batches that are counted. */
export function labelCountOf({ entries }: Ledger): number {
  return entries.reduce((sum, entry) => sum + (entry?.labelCount ?? 0), 0);
}

/** The totals of a complete ledger. */
export function totalsOf(ledger: Ledger): LedgerTotals {
  const entries = ledger.entries.filter((entry) => entry !== null);
  return {
    lossSum: entries.reduce((sum, entry) => sum + entry.lossSum, 0),
    labelCount: labelCountOf(ledger),
    maxAbs: mergeMaxima(entries.map((entry) => entry.maxAbs)),
  };
}

/**
 * For each micro-batch of a complete ledger the position of its worker among the attempt's members, which are sorted by id; null:
 * excluded.
 */
export function ownersOf(ledger: Ledger, members: readonly { readonly worker: string }[]): (number | null)[] {
  return ledger.entries.map((entry) => entry === null ? null : placeAmong(members, entry.worker));
}
