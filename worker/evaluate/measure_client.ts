/** The main thread's side of a measurement. */
import { LoraFleetError } from "../../shared/errors.ts";
import { errorOf, type failureOf } from "../../shared/protocol/failure.ts";
import type { Drift } from "../../shared/protocol/messages_measure.ts";
import type { MeasureInput } from "./measure.ts";

/** One of the two. */
export type MeasureAnswer =
  | { readonly drift: Drift; readonly failure: null }
  | { readonly drift: null; readonly failure: ReturnType<typeof failureOf> };

/** Rejects as `measureMerge`, with `gpu_failure` if the thread dies, or with the signal's reason, which ends the thread. */
export async function measureInThread(
  input: MeasureInput,
  signal: AbortSignal,
  script: URL = new URL("./measure_thread.ts", import.meta.url),
): Promise<Drift> {
  signal.throwIfAborted();
  const thread = new Worker(script, { type: "module", name: "measure" });
  const answered = Promise.withResolvers<MeasureAnswer>();
  const onAbort = () => answered.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  thread.onmessage = ({ data }: MessageEvent<MeasureAnswer>) => answered.resolve(data);
  thread.onerror = (event) => {
    event.preventDefault(); // an unhandled error would end the process
    answered.reject(new LoraFleetError("gpu_failure", `The measuring thread ended: ${event.message}`));
  };
  try {
    thread.postMessage(input);
    const answer = await answered.promise;
    if (answer.failure !== null) throw errorOf(answer.failure);
    return answer.drift;
  } finally {
    signal.removeEventListener("abort", onAbort);
    thread.terminate();
  }
}
