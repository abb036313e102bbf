/**
 * The simulation's own books: which micro-batches were in the sums that a commit was made of, as the workers really had them.
 * They know nothing of the coordinator's ledger.
 */
import type { Sums } from "./world/contribution.ts";

export interface Books {
  /** A round gave this digest of the next state, from these sums. */
  summed(digest: string, parts: Iterable<Sums>): void;
  /** The coordinator has committed a step; the last commit of a step counts. */
  committed(step: number, digest: string): void;
  balance(): Balance;
}

export interface Balance {
  /** Micro-batches of committed steps that are in no sum; all of a step without a commit or a known sum. */
  readonly lost: number;
  /** How often micro-batches are in sums beyond the first time, or in a different step's. */
  readonly doubled: number;
  /** The first few faults, in words. */
  readonly faults: readonly string[];
}

const MAX_FAULTS = 10;

export function createBooks(totalSteps: number, microBatchesPerStep: number): Books {
  /** Numbers of the micro-batches behind a digest, of the newest rounds: no other can be committed. */
  const rounds = new Map<string, readonly number[]>();
  const steps = new Map<
    number,
    { readonly lost: number; readonly doubled: number; readonly faults: string[] }
  >();

  function balanceOf(step: number, numbers: readonly number[]) {
    const first = (step - 1) * microBatchesPerStep;
    const counts = new Uint32Array(microBatchesPerStep);
    const faults: string[] = [];
    let doubled = 0;
    for (const number of numbers) {
      const index = number - first;
      if (index < 0 || index >= microBatchesPerStep) {
        doubled++;
        faults.push(`step ${step} has micro-batch ${number}, which is none of its own`);
      } else if (counts[index]!++ > 0) {
        doubled++;
        faults.push(`step ${step} has micro-batch ${number} ${counts[index]} times`);
      }
    }
    let lost = 0;
    counts.forEach((count, index) => {
      if (count > 0) return;
      lost++;
      faults.push(`step ${step} has not got micro-batch ${first + index}`);
    });
    return { lost, doubled, faults };
  }

  return {
    summed: (digest, parts) => {
      rounds.set(digest, [...parts].flatMap(({ numbers }) => numbers));
    },
    committed: (step, digest) => {
      const numbers = rounds.get(digest);
      rounds.clear();
      steps.set(
        step,
        numbers === undefined
          ? {
            lost: microBatchesPerStep,
            doubled: 0,
            faults: [`step ${step} is committed with a digest that no round has`],
          }
          : balanceOf(step, numbers),
      );
    },
    balance: () => {
      const sum = { lost: 0, doubled: 0, faults: [] as string[] };
      for (let step = 1; step <= totalSteps; step++) {
        const of = steps.get(step) ??
          { lost: microBatchesPerStep, doubled: 0, faults: [`step ${step} is not committed`] };
        sum.lost += of.lost;
        sum.doubled += of.doubled;
        sum.faults.push(...of.faults.slice(0, MAX_FAULTS - sum.faults.length));
      }
      return sum;
    },
  };
}
