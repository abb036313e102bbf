/** One linear layer's weight in NF4: from the cache if that has it whole, else quantised, and kept there. */
import { quantizeStored, type StoredLinear } from "../../../shared/checkpoint/stored_linear.ts";
import type { Nf4Weights } from "../../../shared/checkpoint/nf4/nf4.ts";
import type { LowRank } from "../../../shared/checkpoint/low_rank.ts";
import type { QuantizeOptions } from "../../../shared/checkpoint/nf4/nf4_quantise.ts";
import { failureOf, type ThreadFailure } from "../../async/thread_messages.ts";
import { type Nf4CacheEntry, readCached, writeCached } from "./nf4_cache_file.ts";

export interface LinearCall {
  readonly place: StoredLinear;
  readonly options: QuantizeOptions;
  /** What is taken from the weight before; left out: nothing. */
  readonly start?: LowRank | undefined;
  /** Null: no cache. */
  readonly cache: Nf4CacheEntry | null;
  /** Whether the cache takes what it does not have. */
  readonly keep: boolean;
}

export interface ReadLinear {
  readonly weights: Nf4Weights;
  readonly from: "cache" | "model";
  /** Why the cache's file was not used, if there was one. */
  readonly damage: string | null;
  /** Why the cache did not take it. */
  readonly notKept: string | null;
}

export type LinearAnswer = ReadLinear | { readonly failure: ThreadFailure };

/** Errors of the model's file are answers; see `quantizeStored`. */
export function answerLinear(call: LinearCall): LinearAnswer {
  try {
    return readLinear(call);
  } catch (thrown) {
    return { failure: failureOf(thrown) };
  }
}

function readLinear({ place, options, start, cache, keep }: LinearCall): ReadLinear {
  let damage: string | null = null;
  if (cache !== null) {
    const cached = readCached(cache, options);
    if ("weights" in cached) return { weights: cached.weights, from: "cache", damage, notKept: null };
    damage = cached.problem;
  }
  const weights = quantizeStored(place, options, start);
  const notKept = cache === null || !keep ? null : writeCached(cache, options, weights);
  return { weights, from: "model", damage, notKept };
}
