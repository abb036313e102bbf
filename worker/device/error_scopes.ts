/**
 * The errors of a device. WebGPU reports them asynchronously and continues: unchecked, a failed kernel leaves an earlier
 * one's results in place.
 */
import { LoraFleetError } from "../../shared/errors.ts";

/** Whether the GPU had no memory left. */
export function isOutOfMemory(thrown: unknown): thrown is LoraFleetError {
  return thrown instanceof LoraFleetError && thrown.code === "does_not_fit";
}

export class ErrorScopes {
  readonly #device: GPUDevice;
  #lost: string | null = null;

  constructor(device: GPUDevice) {
    this.#device = device;
    device.lost.then((info) => this.#lost = info.message || info.reason);
    this.#open();
  }

  /**
   * Collects the first error since the last call.
   * @param attempt begins the message with the attempt and the device
   * @returns null if nothing failed; `does_not_fit` if memory ran out, else `gpu_failure`
   */
  async take(attempt: string): Promise<LoraFleetError | null> {
    const [internal, validation, memory] = await Promise.all([
      this.#device.popErrorScope(),
      this.#device.popErrorScope(),
      this.#device.popErrorScope(),
    ]);
    this.#open();
    const failure = memory ?? validation ?? internal;
    if (failure === null && this.#lost === null) return null;
    return new LoraFleetError(
      memory === null ? "gpu_failure" : "does_not_fit",
      `${attempt}: ${failure?.message ?? `the device was lost: ${this.#lost}`}`,
    );
  }

  #open(): void {
    this.#device.pushErrorScope("out-of-memory");
    this.#device.pushErrorScope("validation");
    this.#device.pushErrorScope("internal");
  }
}
