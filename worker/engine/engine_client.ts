/** The main thread's side of the engine thread. */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import type { Arriving } from "../async/arrival.ts";
import { buffersIn, errorOf } from "../async/thread_messages.ts";
import type { EngineAnswer, EngineCall, EngineNote, EngineProgress } from "./engine_calls.ts";
import type { Engine } from "./engine.ts";

interface Caller {
  readonly resolve: (value: never) => void;
  readonly reject: (reason: LoraFleetError) => void;
  readonly arriving: Arriving | undefined;
}

/**
 * Starts the engine thread. Calls run in order; the large arrays of a call are transferred, so the caller must not use them
 * afterwards. When the thread dies, pending and later calls fail with `gpu_failure`; after `close` they fail with `conflict`.
 * @param script the thread's module; tests pass their own
 * @param tell gets what the engine has to say beside its answers
 */
export function startEngineThread(
  script: URL = new URL("./engine_thread.ts", import.meta.url),
  tell: (note: EngineNote) => void = () => {},
): Engine {
  const thread = new Worker(script, { type: "module", name: "engine" });
  const waiting = new Map<number, Caller>();
  /** The next call's, and why the thread ended. */
  let [nextId, ended]: [number, LoraFleetError | null] = [0, null];

  function end(reason: LoraFleetError): void {
    ended ??= reason;
    thread.terminate();
    for (const { reject } of waiting.values()) reject(ended);
    waiting.clear();
  }

  thread.onmessage = ({ data }: MessageEvent<EngineAnswer | EngineNote | EngineProgress>) =>
    "note" in data ? tell(data) : settle(waiting, data);
  thread.onerror = (event) => {
    event.preventDefault(); // an unhandled error would end the process
    end(new LoraFleetError("gpu_failure", `The engine thread ended: ${event.message}`));
  };

  function call<K extends keyof Engine>(
    method: K,
    args: Parameters<Engine[K]>,
    transfer: ArrayBuffer[] = [],
    arriving?: Arriving,
  ): ReturnType<Engine[K]> {
    const id = nextId++;
    return new Promise<never>((resolve, reject) => {
      if (ended !== null) return reject(ended);
      try {
        thread.postMessage({ id, method, args } as EngineCall, transfer);
        waiting.set(id, { resolve, reject, arriving });
      } catch (cause) { // an array that an earlier call transferred
        const message = `Handing ${method} to the engine thread failed: ${messageOf(cause)}`;
        reject(new LoraFleetError("conflict", message, { cause }));
      }
    }) as ReturnType<Engine[K]>;
  }

  return {
    load: (spec) => call("load", [spec]),
    computeGradient: (batch, number) => call("computeGradient", [batch, number]),
    gradientDigest: () => call("gradientDigest", []),
    gradientCheck: (exponents, seed) => call("gradientCheck", [exponents, seed]),
    accumulate: (exponents) => call("accumulate", [exponents]),
    readSums: (arriving) => call("readSums", [], [], arriving),
    dropSums: () => call("dropSums", []),
    rollback: () => call("rollback", []),
    update: (request) => call("update", [request], buffersIn(request.sums)),
    commit: () => call("commit", []),
    evaluate: (batch) => call("evaluate", [batch]),
    exportState: () => call("exportState", []),
    copyAdapter: () => call("copyAdapter", []),
    importState: (state, expected) => call("importState", [state, expected], buffersIn(state)),
    writeAdapter: (folder, baseModelName) => call("writeAdapter", [folder, baseModelName]),
    writeState: (folder) => call("writeState", [folder]),
    close: async () => {
      if (ended !== null) return;
      try {
        await call("close", []);
      } finally {
        end(new LoraFleetError("conflict", "cannot use the engine after it was closed"));
      }
    },
  };
}

function settle(waiting: Map<number, Caller>, answer: EngineAnswer | EngineProgress): void {
  const caller = waiting.get(answer.id);
  if ("count" in answer) return caller?.arriving?.reach(answer.sums, answer.count);
  waiting.delete(answer.id);
  if (answer.ok) caller?.resolve(answer.value as never);
  else caller?.reject(errorOf(answer.error));
}
