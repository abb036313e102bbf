/** Values of the libraries that a field of a job does not take, with the reason and what to do instead. */

interface RefusedValue {
  /** "…8bit" stands for all that end so, "pissa…" for all that begin so. */
  readonly values: readonly unknown[];
  /** Continues "the field is "value", …". */
  readonly why: string;
}

export const REFUSED_VALUES: Readonly<Record<string, readonly RefusedValue[]>> = {
  "lora.init_lora_weights": [{
    values: ["olora", "loftq", "corda", "lora_ga"],
    why:
      "which changes the base model's weights in a way that is not computed here; leave it out, or set it to " +
      '"pissa", "gaussian" or true',
  }, {
    values: ["eva"],
    why:
      'which reads activations of the whole base model before the first step; leave it out or set it to "gaussian", "pissa" or true',
  }, {
    values: ["pissa…"],
    why:
      'but PiSSA is "pissa", or "pissa_niter_" and a number of iterations of at most 99, such as "pissa_niter_4"',
  }, {
    values: [false],
    why:
      "with which lora_B is not zero and the first step already trains a damaged model; leave it out or set it to true",
  }, {
    // Also true in quotes.
    values: ["orthogonal", "mica", "…"],
    why: 'which is not one of the starts here; leave it out or set it to "gaussian", "pissa" or true',
  }],
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
  if (!Object.hasOwn(REFUSED_VALUES, path)) return null;
  return REFUSED_VALUES[path]!.find(({ values }) => values.some((refused) => isMeant(refused, value)))?.why ??
    null;
}

function isMeant(refused: unknown, value: unknown): boolean {
  if (typeof refused !== "string" || typeof value !== "string") return refused === value;
  const [written, meant] = [value.toLowerCase(), refused.toLowerCase()];
  if (meant.startsWith("…")) return written.endsWith(meant.slice(1));
  return meant.endsWith("…") ? written.startsWith(meant.slice(0, -1)) : written === meant;
}
