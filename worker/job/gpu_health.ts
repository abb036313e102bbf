/** What a worker hears of its GPU's resets: it reports them, and ends when they do not stop. */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { ResetCount } from "../engine/reset_count.ts";
import type { JobHostOptions } from "./job_host.ts";
import type { Telemetry } from "../step/telemetry.ts";

type Note = Parameters<NonNullable<JobHostOptions["onEngineNote"]>>[0];

export class GpuHealth {
  /** Rejects with `gpu_failure` once the GPU resets again and again. */
  readonly broken: Promise<never>;
  readonly #telemetry: Pick<Telemetry, "gpuWasReset">;
  readonly #break: (reason: unknown) => void;
  /** Over all jobs: each has an engine of its own, and a job that is taken up again a fresh one. */
  readonly #resets: ResetCount;

  constructor(telemetry: Pick<Telemetry, "gpuWasReset">, clock: Pick<Clock, "now">) {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {}); // so that it is not unhandled before anything awaits it
    this.#telemetry = telemetry;
    this.broken = promise;
    this.#break = reject;
    this.#resets = new ResetCount(() => clock.now());
  }

  hear({ note, isReset, isBroken, reason = note }: Note): void {
    if (isReset) this.#telemetry.gpuWasReset();
    if (isBroken) return this.#break(new LoraFleetError("gpu_failure", note));
    if (!isReset) return;
    try {
      this.#resets.add(reason);
    } catch (thrown) {
      this.#break(thrown);
    }
  }
}

/** What the coordinator is told when a worker leaves because `thrown` ended it. */
export function leavingReason({ aborted, reason }: AbortSignal, thrown: unknown): string {
  if (!aborted) return messageOf(thrown);
  const isFailure = reason instanceof LoraFleetError && reason.code !== "aborted";
  return isFailure ? reason.message : "stopped";
}
