/** What a worker hears of its GPU's resets: it reports them, and ends when they do not stop. */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { JobHostOptions } from "../job/job_host.ts";
import type { Telemetry } from "../step/telemetry.ts";

type Note = Parameters<NonNullable<JobHostOptions["onEngineNote"]>>[0];

export class GpuHealth {
  /** Rejects with `gpu_failure` once the GPU resets again and again. */
  readonly broken: Promise<never>;
  readonly #telemetry: Pick<Telemetry, "gpuWasReset">;
  readonly #break: (reason: LoraFleetError) => void;

  constructor(telemetry: Pick<Telemetry, "gpuWasReset">) {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {}); // so that it is not unhandled before anything awaits it
    this.#telemetry = telemetry;
    this.broken = promise;
    this.#break = reject;
  }

  hear({ note, isReset, isBroken }: Note): void {
    if (isReset) this.#telemetry.gpuWasReset();
    if (isBroken) this.#break(new LoraFleetError("gpu_failure", note));
  }
}

/** What the coordinator is told when a worker leaves because `thrown` ended it. */
export function leavingReason({ aborted, reason }: AbortSignal, thrown: unknown): string {
  if (!aborted) return messageOf(thrown);
  const isFailure = reason instanceof LoraFleetError && reason.code !== "aborted";
  return isFailure ? reason.message : "stopped";
}
