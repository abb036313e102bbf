/** Ranks as vLLM takes them. */
import type { LoraSpec } from "./job_spec_schema.ts";

/** The values that `vllm serve --max-lora-rank` accepts; without the option it takes adapters of up to 16. */
const VLLM_RANKS = [8, 16, 32, 64, 128, 256, 320, 512];

/** What `--max-lora-rank` has to be for an adapter. */
export function vllmRank({ r, rank_pattern = {} }: Pick<LoraSpec, "r" | "rank_pattern">): number {
  const rank = Math.max(r, ...Object.values(rank_pattern));
  return VLLM_RANKS.find((allowed) => rank <= allowed) ?? rank;
}
