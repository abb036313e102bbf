/** A trained adapter and its start as one adapter of twice the rank, [A; A₀] and [B, −B₀], and apart again. */
import { rankFunction } from "../../job/adapter_modules.ts";
import type { RankFields } from "../../job/pissa.ts";
import type { LoraDelta } from "./adapter_deltas.ts";

/** A [rank, in] and B [out, rank] of one layer, flattened row by row. */
export interface Factors {
  readonly a: Float32Array;
  readonly b: Float32Array;
}

/** Exact: a change of sign loses nothing. */
export function joinHalves(trained: Factors, start: Factors, rank: number): Factors {
  const a = new Float32Array(2 * trained.a.length);
  a.set(trained.a);
  a.set(start.a, trained.a.length);
  const b = new Float32Array(2 * trained.b.length);
  for (let from = 0; from < trained.b.length; from += rank) {
    for (let k = 0; k < rank; k++) {
      b[2 * from + k] = trained.b[from + k]!;
      b[2 * from + rank + k] = -start.b[from + k]!;
    }
  }
  return { a, b };
}

/** @param rank of one half */
export function splitHalves(
  { a, b }: Factors,
  rank: number,
): { readonly trained: Factors; readonly start: Factors } {
  const [trained, start] = [new Float32Array(b.length / 2), new Float32Array(b.length / 2)];
  for (let from = 0; from < trained.length; from += rank) {
    for (let k = 0; k < rank; k++) {
      trained[from + k] = b[2 * from + k]!;
      start[from + k] = -b[2 * from + rank + k]!;
    }
  }
  const half = a.length / 2;
  return { trained: { a: a.slice(0, half), b: trained }, start: { a: a.slice(half), b: start } };
}

/**
 * The halves of each layer of a result.
 * @param ranks the job's own, whose scales the start was made with
 */
export function splitDeltas(
  deltas: ReadonlyMap<string, LoraDelta>,
  ranks: RankFields,
): { readonly trained: Map<string, LoraDelta>; readonly starts: Map<string, LoraDelta> } {
  const [trained, starts] = [new Map<string, LoraDelta>(), new Map<string, LoraDelta>()];
  const rankOf = rankFunction(ranks);
  for (const [module, delta] of deltas) {
    const own = rankOf(module);
    const halves = splitHalves(delta, own.rank);
    trained.set(module, { ...delta, ...own, ...halves.trained });
    starts.set(module, { ...delta, ...own, ...halves.start });
  }
  return { trained, starts };
}
