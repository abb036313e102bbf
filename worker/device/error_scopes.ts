/**
 * The errors of a device. WebGPU reports them asynchronously and continues: unchecked, a failed kernel leaves an earlier
 * one's results in place.
 */
import { type Clock, systemClock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";

/** The driver took the device away, or can no longer use it: what was in its memory is gone, a new device may work. */
export class GpuReset extends LoraFleetError {
  constructor(message: string) {
    super("gpu_failure", message);
  }
}

/** How long a failure may come before the news that the device was lost. */
const NEWS_MS = 250;

/** Whether the GPU had no memory left. */
export function isOutOfMemory(thrown: unknown): thrown is LoraFleetError {
  return thrown instanceof LoraFleetError && thrown.code === "does_not_fit";
}

export class ErrorScopes {
  readonly #device: GPUDevice;
  readonly #time: Clock;
  #lost: string | null = null;

  constructor(device: GPUDevice, time: Clock = systemClock) {
    this.#device = device;
    this.#time = time;
    device.lost.then((info) => this.#lost = info.message || info.reason);
    this.#open();
  }

  /** Whether the device is known to be lost. */
  get isLost(): boolean {
    return this.#lost !== null;
  }

  /** What WebGPU itself threw, as an error that says whether the device was lost. */
  async failureOf(thrown: unknown, attempt: string): Promise<LoraFleetError> {
    const known = await this.take(attempt);
    if (known !== null) return known;
    await this.#news();
    return this.#reset(attempt) ?? new LoraFleetError("gpu_failure", `${attempt}: ${messageOf(thrown)}`);
  }

  /**
   * Collects the first error since the last call.
   * @param attempt begins the message with the attempt and the device
   * @returns null if nothing failed; `does_not_fit` if memory ran out; a `GpuReset` if the device was lost or its driver failed;
   * else `gpu_failure`
   */
  async take(attempt: string): Promise<LoraFleetError | null> {
    const [internal, validation, memory] = await Promise.all([
      this.#device.popErrorScope(),
      this.#device.popErrorScope(),
      this.#device.popErrorScope(),
    ]);
    this.#open();
    const failure = memory ?? validation ?? internal;
    if (failure !== null && memory === null) await this.#news();
    // A lost device fails in many ways; none of them is the cause.
    if (this.#lost !== null || failure === null) return this.#reset(attempt);
    const message = `${attempt}: ${failure.message}`;
    if (memory !== null) return new LoraFleetError("does_not_fit", message);
    return validation === null ? new GpuReset(message) : new LoraFleetError("gpu_failure", message);
  }

  async #news(): Promise<void> {
    const waited = new AbortController();
    const time = this.#time.sleep(NEWS_MS, waited.signal).catch(() => {});
    await Promise.race([this.#device.lost, time]);
    waited.abort();
  }

  #reset(attempt: string): GpuReset | null {
    return this.#lost === null ? null : new GpuReset(`${attempt}: the device was lost: ${this.#lost}`);
  }

  #open(): void {
    this.#device.pushErrorScope("out-of-memory");
    this.#device.pushErrorScope("validation");
    this.#device.pushErrorScope("internal");
  }
}
