/**
 * How long a GPU takes for the work of each kernel: learnt from whole submits, whose work and time are known, although each
 * holds many kernels. The rates r ≥ 0 that minimise |W·r − t|², W [submits, kernels] the work and t the times, come from the
 * multiplicative iteration r ← r · (Wᵀt) / (WᵀWr) (image space reconstruction; Daube-Witherspoon and Muehllehner 1986), which
 * never leaves r ≥ 0 and, with one submit alone, scales all rates alike.
 */

/** The work of a submit in floating-point operations, by kernel. */
export type Work = ReadonlyMap<string, number>;

export interface MeasuredSubmit {
  readonly work: Work;
  readonly milliseconds: number;
}

/** A few per read: measurements come with every micro-batch, and one that is wrong must not decide. */
const SWEEPS = 4;

export class SubmitRates {
  /** Milliseconds per floating-point operation of kernels that have been measured. */
  readonly #rates = new Map<string, number>();
  /** Of all others: as fast as the whole was in a read of much work. */
  #common: number;
  #mostFlops = 0;

  /** @param flopsPerSecond until the first measurement; too low makes the first submits shorter than they need to be */
  constructor(flopsPerSecond: number) {
    this.#common = 1000 / flopsPerSecond;
  }

  /** Whether anything was measured. */
  get isKnown(): boolean {
    return this.#rates.size > 0;
  }

  /** The milliseconds that a kernel is expected to take for so many floating-point operations. */
  predict(kernel: string, flops: number): number {
    return flops * (this.#rates.get(kernel) ?? this.#common);
  }

  /**
   * The milliseconds of so much work; nothing for kernels that were never measured, of which too long a time is assumed. Not longer
   * than by the speed of the whole in a read of much work: a short micro-batch, which leaves most of a GPU idle, makes each kernel
   * slow, and the long one after it is not.
   */
  measuredMs(work: Work): number {
    const byKernel = [...work].reduce(
      (sum, [kernel, flops]) => sum + flops * (this.#rates.get(kernel) ?? 0),
      0,
    );
    return Math.min(byKernel, sumOf(work) * this.#common);
  }

  learn(submits: readonly MeasuredSubmit[]): void {
    const total = submits.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    const flops = submits.reduce((sum, { work }) => sum + sumOf(work), 0);
    if (!(total > 0 && flops > 0)) return;
    const isFirst = this.#rates.size === 0;
    for (const kernel of submits.flatMap(({ work }) => [...work.keys()])) {
      this.#rates.getOrInsert(kernel, isFirst ? total / flops : this.#common);
    }
    if (flops >= this.#mostFlops / 2) this.#common = total / flops;
    this.#mostFlops = Math.max(this.#mostFlops, flops);
    for (let sweep = 0; sweep < SWEEPS; sweep++) this.#sweep(submits);
  }

  #sweep(submits: readonly MeasuredSubmit[]): void {
    const wanted = new Map<string, number>();
    const found = new Map<string, number>();
    for (const { work, milliseconds } of submits) {
      const predicted = this.#predictAll(work);
      for (const [kernel, flops] of work) {
        wanted.set(kernel, (wanted.get(kernel) ?? 0) + flops * milliseconds);
        found.set(kernel, (found.get(kernel) ?? 0) + flops * predicted);
      }
    }
    for (const [kernel, value] of found) {
      if (value > 0) this.#rates.set(kernel, this.#rates.get(kernel)! * wanted.get(kernel)! / value);
    }
  }

  #predictAll(work: Work): number {
    return [...work].reduce((sum, [kernel, flops]) => sum + this.predict(kernel, flops), 0);
  }
}

function sumOf(work: Work): number {
  return [...work.values()].reduce((sum, flops) => sum + flops, 0);
}
