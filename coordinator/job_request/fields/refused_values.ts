/** Values of the libraries that a field of a job does not take, with the reason and what to do instead. */

interface RefusedValue {
  /** "…8bit" stands for all that end so. */
  readonly values: readonly string[];
  /** Continues "the field is "value", …". */
  readonly why: string;
}

export const REFUSED_VALUES: Readonly<Record<string, readonly RefusedValue[]>> = {
  "training.optim": [{
    values: ["…8bit"],
    why:
      'but moments are kept in 32 bits; set it to "paged_adamw_32bit", which is AdamW without the rounding of its moments',
  }],
  "training.lr_scheduler_type": [{
    values: ["reduce_lr_on_plateau", "greedy"],
    why:
      "which lets losses decide on the rate, but here every step's rate is known before the first one, so that an " +
      'interrupted job goes on exactly; set it to "cosine_with_min_lr" or "warmup_stable_decay"',
  }],
};

/** Null for any other value. */
export function whyRefused(path: string, value: unknown): string | null {
  if (typeof value !== "string" || !Object.hasOwn(REFUSED_VALUES, path)) return null;
  return REFUSED_VALUES[path]!.find(({ values }) => values.some((refused) => isMeant(refused, value)))?.why ??
    null;
}

function isMeant(refused: string, value: string): boolean {
  return refused.startsWith("…") ? value.endsWith(refused.slice(1)) : value === refused;
}
