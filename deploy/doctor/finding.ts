/** What the doctor finds: one line each, with what to do where something is wrong. */

/** `problem`: lorafleet does not work as asked; `note`: it does, and one should know; `ok`. */
export type Verdict = "ok" | "note" | "problem";

export interface Finding {
  /** What was looked at, in a word or two. */
  readonly check: string;
  readonly verdict: Verdict;
  /** What is so. */
  readonly found: string;
  /** What to do; null if nothing. */
  readonly advice: string | null;
}

export const ok = (check: string, found: string): Finding => ({ check, verdict: "ok", found, advice: null });
export const note = (check: string, found: string, advice: string | null = null): Finding => (
  { check, verdict: "note", found, advice }
);
export const problem = (check: string, found: string, advice: string): Finding => (
  { check, verdict: "problem", found, advice }
);
