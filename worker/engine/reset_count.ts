/**
 * Counts a GPU's resets: one now and then is repaired, a GPU that resets again and again is broken. The worker counts those of all its
 * engines (worker/job/gpu_health.ts), and each engine its own, so that it ends by itself.
 */
import { LoraFleetError } from "../../shared/errors.ts";

/** So many resets within `RESET_WINDOW_MS` are repaired; the next one ends the worker. */
export const MAX_RESETS = 3;
/** A load of a large model takes minutes: resets that come after each load fall into the window. */
export const RESET_WINDOW_MS = 60 * 60_000;

/** The `param` of the error that ends the worker. */
export const BROKEN_GPU = "gpu_resets";

const REMEDY =
  "It does not work reliably with this driver, power or temperature. Look into the system's log (Linux: dmesg, lines with Xid or " +
  "amdgpu; Windows: event 4101 of Display), update the driver, lower the power limit (nvidia-smi -pl) or per_device_train_batch_size, " +
  "then start the worker again";

export class ResetCount {
  readonly #now: () => number;
  #times: number[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  /** @throws LoraFleetError `gpu_failure` with `BROKEN_GPU` if this one is too many */
  add(reason: string): void {
    const now = this.#now();
    this.#times = [...this.#times.filter((time) => now - time < RESET_WINDOW_MS), now];
    if (this.#times.length <= MAX_RESETS) return;
    const minutes = Math.max(1, Math.ceil((now - this.#times[0]!) / 60_000));
    throw new LoraFleetError(
      "gpu_failure",
      `The GPU was reset ${this.#times.length} times within ${minutes} min, the last time: ${reason}. ${REMEDY}`,
      { param: BROKEN_GPU },
    );
  }
}
