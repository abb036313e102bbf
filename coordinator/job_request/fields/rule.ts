/** How a field is treated that existing scripts set and that a JobSpec does not have. */
export type FieldRule =
  /** Another spelling of a field of the spec. */
  | { readonly kind: "alias"; readonly to: string }
  /** Accepted with these values and with equivalent ones by `means`, otherwise refused with the reason and the remedy. */
  | {
    readonly kind: "only";
    readonly values: readonly unknown[];
    readonly reason: string;
    readonly means: (value: unknown) => boolean;
    /** What to do instead. */
    readonly remedy: string;
  }
  /** Names the checkpoint of an earlier job to go on from. */
  | { readonly kind: "resumed" }
  /** Each key of `values` stands for a value of the field `to`; others are refused with the reason. */
  | {
    readonly kind: "translated";
    readonly to: string;
    readonly values: Readonly<Record<string, unknown>>;
    readonly reason: string;
  }
  /** Read by afterwards.ts; `words` say for what. */
  | { readonly kind: "afterwards"; readonly words: string }
  /** Read by tracking.ts; `words` say for what. */
  | { readonly kind: "tracking"; readonly words: string }
  /**
   * Accepted with any value, and without effect because of `why`. The job's events list it; with `isExplained` they say why, unless
   * the value is in `quiet` or the library's own default.
   */
  | {
    readonly kind: "unused";
    readonly why: string;
    readonly isExplained: boolean;
    readonly quiet: readonly unknown[];
  };

export type FieldRules = Readonly<Record<string, FieldRule>>;

export const alias = (to: string): FieldRule => ({ kind: "alias", to });

/** @param instead what to do instead; by default to leave the field out, or to set its first value */
export function only(
  values: readonly unknown[],
  reason: string,
  { means = () => false, instead }: { means?: (value: unknown) => boolean; instead?: string } = {},
): FieldRule {
  const usual = values.length === 0 ? "leave it out" : `leave it out or set ${JSON.stringify(values[0])}`;
  return { kind: "only", values, reason, means, remedy: instead ?? usual };
}

/** Accepted and listed in the job's events as without effect. @param quiet values that go without saying */
export const meaningless = (why: string, quiet: readonly unknown[] = []): FieldRule => ({
  kind: "unused",
  why,
  isExplained: false,
  quiet,
});

/** Accepted; the job's events say why it has no effect. @param quiet values that go without saying */
export const explained = (why: string, quiet: readonly unknown[] = []): FieldRule => ({
  kind: "unused",
  why,
  isExplained: true,
  quiet,
});

export const afterwards = (words: string): FieldRule => ({ kind: "afterwards", words });
export const tracked = (words: string): FieldRule => ({ kind: "tracking", words });

/** The same rule for several names. */
export const all = (names: string, rule: FieldRule): Record<string, FieldRule> =>
  Object.fromEntries(names.trim().split(/\s+/).map((name) => [name, rule]));

/** `meaningless` for several names. */
export const without = (why: string, names: string): Record<string, FieldRule> =>
  all(names, meaningless(why));
