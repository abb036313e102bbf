/** The submits of one device: when the next one is due, how long each lasted, and how long the next ones will. */
import { type Clock, systemClock } from "../../../shared/clock.ts";
import { durationsOf, SubmitClock } from "./submit_clock.ts";
import { SubmitPacer, type SubmitPacerOptions, type SubmittedWork } from "./submit_pacer.ts";

/** Deno sleeps that long after the GPU is done. */
const WAIT_MS = 10;

/** A longer read takes time of its own, which is no measure of the submits before it. */
const SHORT_READ_BYTES = 2 ** 20;

/** Half of what Windows allows. */
const TOO_LONG_MS = 1000;

/** Of what the submits are expected to take, the part that they surely take: who waits that long does not slow a GPU down. */
const BUSY_SHARE = 0.8;
/** The whole time, waits included, is what a GPU without a clock learns from: one that seemed slow once must seem faster soon. */
const BUSY_SHARE_WITHOUT_CLOCK = 0.5;

/** Since the device was opened. */
export interface SubmitStats {
  readonly count: number;
  /** Measured where the GPU has a clock, else expected. */
  readonly longestMs: number;
}

export class Submits {
  readonly #pacer: SubmitPacer;
  readonly #clock: SubmitClock | null;
  readonly #time: Clock;
  readonly #isCpu: boolean;
  /** The first submit since the queue was empty. */
  #startedAt: number | null = null;
  #stats: SubmitStats = { count: 0, longestMs: 0 };
  /** Gets a sentence when a submit was measured that a watchdog might not forgive: once, then for one that is twice as long. */
  tell: (note: string) => void = () => {};
  #toldMs = TOO_LONG_MS / 2;

  constructor(device: GPUDevice, options: SubmitPacerOptions & { readonly time?: Clock }) {
    this.#pacer = new SubmitPacer(options);
    this.#clock = SubmitClock.of(device);
    this.#isCpu = options.isCpu;
    this.#time = options.time ?? systemClock;
  }

  get stats(): SubmitStats {
    return this.#stats;
  }

  /** Whether what is recorded must be submitted before `flops` more of a kernel are. */
  isDue(kernel: string, flops: number): boolean {
    return this.#pacer.isDue(kernel, flops);
  }

  /** As `SubmitPacer.piecesOf`. */
  piecesOf(kernel: string, flops: number): number {
    return this.#pacer.piecesOf(kernel, flops);
  }

  /** A dispatch was recorded. */
  add(kernel: string, flops: number): void {
    this.#pacer.add(kernel, flops);
  }

  /** `encoder` begins the next submit. */
  begin(encoder: GPUCommandEncoder): void {
    this.#clock?.mark(encoder);
  }

  /** `encoder` holds all of a submit. */
  end(encoder: GPUCommandEncoder): void {
    this.#clock?.mark(encoder);
    this.#pacer.submitted();
    this.#startedAt ??= this.#time.now();
  }

  /** For so many milliseconds from now on the GPU computes what was submitted, and likely longer; 0 before anything was measured. */
  get busyMs(): number {
    if (this.#startedAt === null) return 0;
    const share = this.#clock === null ? BUSY_SHARE_WITHOUT_CLOCK : BUSY_SHARE;
    return Math.max(0, this.#startedAt + share * this.#pacer.measuredMs - this.#time.now());
  }

  /** The bytes that `resolve` copies. */
  get measuredBytes(): number {
    return this.#clock?.byteLength ?? 0;
  }

  /** The most that `resolve` copies at any time. */
  get mostMeasuredBytes(): number {
    return this.#clock?.mostBytes ?? 0;
  }

  /** Copies what was measured to a buffer that is read next. */
  resolve(encoder: GPUCommandEncoder, target: GPUBuffer, byteOffset: number): void {
    this.#clock?.resolve(encoder, target, byteOffset);
  }

  /**
   * The queue is empty.
   * @param measured the bytes that `resolve` copied
   * @param readBytes that were read with them
   */
  learn(measured: ArrayBuffer, readBytes: number): void {
    const submits = this.#pacer.take();
    const passedMs = this.#time.now() - (this.#startedAt ?? this.#time.now()) - WAIT_MS;
    this.#startedAt = null;
    const durations = durationsOf(new BigUint64Array(measured));
    if (durations.some((duration) => duration !== null)) this.#pacer.learn(submits, durations);
    else if (readBytes <= SHORT_READ_BYTES && passedMs > 0) this.#pacer.learnTotal(submits, passedMs);
    this.#report(submits, durations);
    const { count, longestMs } = this.#stats;
    // One by one: there may be more than a call takes arguments.
    const longest = submits.reduce(
      (most, { predictedMs }, index) => Math.max(most, durations[index] ?? predictedMs),
      longestMs,
    );
    this.#stats = { count: count + submits.length, longestMs: longest };
  }

  /** The queue is empty, and nothing is learnt: a command failed, so that what `resolve` copied is not read. */
  forget(): void {
    this.#pacer.take();
    this.#startedAt = null;
  }

  #report(submits: readonly SubmittedWork[], durations: readonly (number | null)[]): void {
    const longest = durations.findIndex((duration) => duration !== null && duration >= 2 * this.#toldMs);
    if (longest < 0 || this.#isCpu) return;
    this.#toldMs = durations[longest]!;
    const kernels = [...submits[longest]?.work.keys() ?? []].map((label) => label.split("[")[0]);
    this.tell(
      `the GPU was busy for ${(this.#toldMs / 1000).toFixed(1)} s with one piece of work (${
        [...new Set(kernels)].join(", ")
      }); Windows resets a GPU after 2 s. Shorter micro-batches make it shorter: dataset.max_seq_length, or per_device_train_batch_size`,
    );
  }

  close(): void {
    this.#clock?.close();
  }
}
