/** The main thread's side of the engine thread. */
import { LoraFleetError } from "../../shared/errors.ts";
import { buffersIn, type EngineAnswer, type EngineCall, errorOf } from "./engine_calls.ts";
import type { Engine } from "./engine.ts";

/**
 * Starts the engine thread. Calls are done in order; the large arrays of a call move to the thread, so the caller must not
 * use them afterwards.
 */
export function startEngineThread(): Engine {
  const thread = new Worker(new URL("./engine_thread.ts", import.meta.url), {
    type: "module",
    name: "engine",
  });
  const waiting = new Map<
    number,
    { resolve: (value: never) => void; reject: (reason: LoraFleetError) => void }
  >();
  let nextId = 0;

  thread.onmessage = ({ data }: MessageEvent<EngineAnswer>) => {
    const caller = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.ok) caller?.resolve(data.value as never);
    else caller?.reject(errorOf(data.error));
  };
  thread.onerror = (event) => {
    event.preventDefault();
    const error = new LoraFleetError("gpu_failure", `The engine thread ended: ${event.message}`);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };

  function call<K extends keyof Engine>(
    method: K,
    args: Parameters<Engine[K]>,
    transfer: ArrayBuffer[] = [],
  ): ReturnType<Engine[K]> {
    const id = nextId++;
    const answer = new Promise<never>((resolve, reject) => waiting.set(id, { resolve, reject }));
    thread.postMessage({ id, method, args } as EngineCall, transfer);
    return answer as ReturnType<Engine[K]>;
  }

  return {
    load: (spec) => call("load", [spec]),
    computeGradient: (batch, number) => call("computeGradient", [batch, number]),
    accumulate: (exponents) => call("accumulate", [exponents]),
    takeSums: () => call("takeSums", []),
    rollback: () => call("rollback", []),
    update: (request) => call("update", [request], buffersIn(request.sums)),
    commit: () => call("commit", []),
    exportState: () => call("exportState", []),
    importState: (state) => call("importState", [state], buffersIn(state)),
    writeAdapter: (folder, baseModelName) => call("writeAdapter", [folder, baseModelName]),
    close: async () => {
      await call("close", []);
      thread.terminate();
    },
  };
}
