/** Which worker has which micro-batch of an attempt in its sums: each is counted exactly once, or excluded. Pure. */
import type { Verdict } from "../../../shared/protocol/messages_coordinator.ts";
import { mergeMaxima } from "../../../shared/protocol/exponents.ts";
import { placeAmong } from "../../../shared/protocol/sorted_members.ts";

export interface LedgerEntry {
  readonly worker: string;
  /** Distinguishes a repeated report from repeated work. */
  readonly claim: number;
  readonly lossSum: number;
  readonly labelCount: number;
  readonly correctCount: number;
  /** Largest |gradient| of each LoRA tensor. */
  readonly maxAbs: Float32Array;
}

export interface Ledger {
  /** By position within the step; null if not counted. */
  readonly entries: readonly (LedgerEntry | null)[];
  readonly countedCount: number;
  /** Excluded positions, and the workers whose reports exclude them. */
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

/** Counts a micro-batch unless it is counted already; a repeated claim gets the same answer. */
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

/** Releases the micro-batches in the sums of workers that are gone. */
export function releaseWorkers(ledger: Ledger, gone: ReadonlySet<string>): Ledger {
  const entries = ledger.entries.map((entry) => entry !== null && gone.has(entry.worker) ? null : entry);
  return { ...ledger, entries, countedCount: entries.filter((entry) => entry !== null).length };
}

export function excludeMicroBatch(ledger: Ledger, index: number, workers: readonly string[]): Ledger {
  return { ...ledger, excluded: new Map(ledger.excluded).set(index, workers) };
}

/** Without the exclusions that rest on reports of these workers. */
export function withoutReportsOf(ledger: Ledger, workers: { has(worker: string): boolean }): Ledger {
  const kept = [...ledger.excluded].filter(([, tried]) => !tried.some((worker) => workers.has(worker)));
  return kept.length === ledger.excluded.size ? ledger : { ...ledger, excluded: new Map(kept) };
}

/** Positions that are neither counted nor excluded. */
export function uncounted(ledger: Ledger): number[] {
  return ledger.entries.flatMap((entry, index) =>
    entry === null && !ledger.excluded.has(index) ? [index] : []
  );
}

/** Whether every micro-batch is counted or excluded. */
export function isComplete(ledger: Ledger): boolean {
  return ledger.countedCount + ledger.excluded.size === ledger.entries.length;
}

/** Labels of all counted micro-batches. */
export function labelCountOf({ entries }: Ledger): number {
  return entries.reduce((sum, entry) => sum + (entry?.labelCount ?? 0), 0);
}

/** Of a complete ledger. Losses are added in f64 in the micro-batches' order, so that the sum depends on their values alone. */
export function totalsOf(
  ledger: Ledger,
): Pick<LedgerEntry, "lossSum" | "labelCount" | "correctCount" | "maxAbs"> {
  const entries = ledger.entries.filter((entry) => entry !== null);
  return {
    lossSum: entries.reduce((sum, entry) => sum + entry.lossSum, 0),
    labelCount: labelCountOf(ledger),
    correctCount: entries.reduce((sum, entry) => sum + entry.correctCount, 0),
    maxAbs: mergeMaxima(entries.map((entry) => entry.maxAbs)),
  };
}

/** For each micro-batch of a complete ledger the position of its worker among the members, sorted by id; null if excluded. */
export function ownersOf(ledger: Ledger, members: readonly { readonly worker: string }[]): (number | null)[] {
  return ledger.entries.map((entry) => entry === null ? null : placeAmong(members, entry.worker));
}
