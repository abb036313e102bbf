/**
 * Decides where a long recording is cut into submits. One submit of a whole micro-batch lasts seconds on a large model: longer
 * than watchdogs allow (Windows resets the GPU after 2 s), and the GPU idles while it is recorded. Cutting changes no bits: the
 * dispatches stay in their order.
 */
import { SubmitRates, type Work } from "./submit_rates.ts";

/** The time that a submit aims at. One that holds kernels of unknown speed may miss it by a factor; 200 ms harms nobody. */
export const SUBMIT_TARGET_MS = 100;

/** After an idle time the first submit is this part of the target, so that the GPU starts soon; each next one is twice as long. */
const FIRST_SHARE = 1 / 16;

/** Slower than any GPU of the last ten years: with it, the first submits are too short rather than too long. */
const UNKNOWN_GPU_FLOPS = 2e11;
const UNKNOWN_CPU_FLOPS = 1e9;
/** A dispatch is only cut at what that speed makes of so many submits: a GPU has five times it, and pieces cost time as well. */
const UNKNOWN_SUBMITS = 5;

export interface SubmitPacerOptions {
  readonly isCpu: boolean;
  readonly targetMs?: number;
}

/** What has been submitted since the last `take`. */
export interface SubmittedWork {
  readonly work: Work;
  readonly predictedMs: number;
}

export class SubmitPacer {
  readonly targetMs: number;
  readonly #rates: SubmitRates;
  #work = new Map<string, number>();
  #recordedMs = 0;
  #limitMs: number;
  #submitted: SubmittedWork[] = [];

  constructor({ isCpu, targetMs = SUBMIT_TARGET_MS }: SubmitPacerOptions) {
    this.targetMs = targetMs;
    this.#limitMs = targetMs * FIRST_SHARE;
    this.#rates = new SubmitRates(isCpu ? UNKNOWN_CPU_FLOPS : UNKNOWN_GPU_FLOPS);
  }

  /** The milliseconds that so much work of a kernel is expected to take. */
  predict(kernel: string, flops: number): number {
    return this.#rates.predict(kernel, flops);
  }

  /** Whether what is recorded must be submitted before `flops` more of a kernel are. */
  isDue(kernel: string, flops: number): boolean {
    return this.#recordedMs > 0 && this.#recordedMs + this.predict(kernel, flops) > this.#limitMs;
  }

  /** Into how many pieces of equal work a dispatch must be cut, so that none lasts longer than a submit; 1 or less: none. */
  piecesOf(kernel: string, flops: number): number {
    const allowedMs = this.#rates.isKnown ? this.targetMs : UNKNOWN_SUBMITS * this.targetMs;
    return this.predict(kernel, flops) / allowedMs;
  }

  add(kernel: string, flops: number): void {
    this.#work.set(kernel, (this.#work.get(kernel) ?? 0) + flops);
    this.#recordedMs += this.predict(kernel, flops);
  }

  /** The recorded work was submitted. */
  submitted(): void {
    this.#submitted.push({ work: this.#work, predictedMs: this.#recordedMs });
    this.#work = new Map();
    this.#recordedMs = 0;
    this.#limitMs = Math.min(this.targetMs, 2 * this.#limitMs);
  }

  /** Milliseconds that what was submitted since the last `take` lasts by what was measured; kernels that never were count nothing. */
  get measuredMs(): number {
    return this.#rates.measuredMs(together(this.#submitted));
  }

  /** The queue is empty. @returns what was submitted since the last time, in order */
  take(): readonly SubmittedWork[] {
    const submitted = this.#submitted;
    this.#submitted = [];
    this.#limitMs = this.targetMs * FIRST_SHARE;
    return submitted;
  }

  /** @param milliseconds of each of `submits`; null where nobody knows */
  learn(submits: readonly SubmittedWork[], milliseconds: readonly (number | null)[]): void {
    this.#rates.learn(submits.flatMap(({ work }, index) => {
      const measured = milliseconds[index] ?? null;
      return measured === null || work.size === 0 ? [] : [{ work, milliseconds: measured }];
    }));
  }

  /** @param milliseconds of all of `submits` together */
  learnTotal(submits: readonly SubmittedWork[], milliseconds: number): void {
    const work = together(submits);
    if (work.size > 0) this.#rates.learn([{ work, milliseconds }]);
  }
}

/** The work of all submits. */
function together(submits: readonly SubmittedWork[]): Work {
  const all = new Map<string, number>();
  for (const { work } of submits) {
    for (const [kernel, flops] of work) all.set(kernel, (all.get(kernel) ?? 0) + flops);
  }
  return all;
}
