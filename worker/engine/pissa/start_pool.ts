/** The starts of all layers, on as many threads as the machine has processors and memory for. */
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import type { Factors } from "../../../shared/checkpoint/merge/pissa_halves.ts";
import type { AdapterModule } from "../../../shared/job/adapter_modules.ts";
import { pissaThreadBytes } from "../../../shared/memory/pissa_cost.ts";
import { createStarts, type StartAnswer, type StartCall } from "./start_calls.ts";

export interface StartsOptions {
  readonly modelFolder: string;
  readonly modules: readonly AdapterModule[];
  readonly iterations: number | null;
  /** Threads at most; left out: by processors and free memory. */
  readonly threads?: number;
}

/** Below so many elements in all, threads take longer to begin than the work. */
const FEW_ELEMENTS = 2 ** 22;
const MAX_THREADS = 16;

/**
 * By module, the same on every machine and for any number of threads.
 * @throws LoraFleetError `invalid_model` for a weight that cannot be read, naming it
 */
export async function computeStarts(options: StartsOptions): Promise<Map<string, Factors>> {
  const { modelFolder, modules, iterations } = options;
  // The largest first, so that no thread begins one at the end.
  const calls = modules.toSorted((a, b) => sizeOf(b) - sizeOf(a))
    .map((module): StartCall => ({ modelFolder, module, iterations }));
  const starts = new Map<string, Factors>();
  let taken = 0;
  const work = async (compute: (call: StartCall) => Promise<Factors>) => {
    while (taken < calls.length) {
      const call = calls[taken++]!;
      starts.set(call.module.name, await compute(call));
    }
  };
  const threads = options.threads ?? threadsFor(modules);
  if (threads <= 1) await work(createStarts());
  else {
    const open = Array.from({ length: threads }, () => openThread());
    try {
      await Promise.all(open.map(({ compute }) => work(compute)));
    } finally {
      for (const { close } of open) close();
    }
  }
  return starts;
}

const sizeOf = ({ outFeatures, inFeatures }: AdapterModule) => outFeatures * inFeatures;

/** How many threads take these weights apart at once: one for so little that it is done in no time. */
export function threadsFor(
  modules: readonly AdapterModule[],
  { processors, availableBytes } = machine(),
): number {
  const elements = modules.reduce((sum, module) => sum + sizeOf(module), 0);
  if (elements < FEW_ELEMENTS) return 1;
  const fitting = Math.floor(availableBytes / 2 / pissaThreadBytes(modules));
  return Math.max(1, Math.min(processors, MAX_THREADS, modules.length, fitting));
}

function machine() {
  return {
    processors: navigator.hardwareConcurrency,
    availableBytes: Deno.systemMemoryInfo().available,
  };
}

interface StartThread {
  compute(call: StartCall): Promise<Factors>;
  close(): void;
}

function openThread(): StartThread {
  const thread = new Worker(new URL("./start_thread.ts", import.meta.url), { type: "module", name: "pissa" });
  let settle: { resolve: (factors: Factors) => void; reject: (error: LoraFleetError) => void } | null = null;
  let name = "";
  const fail = (why: string) => {
    const message = `taking the base model's layer ${quote(name)} apart for PiSSA failed: ${why}`;
    settle?.reject(new LoraFleetError("invalid_model", message, { param: name }));
  };
  thread.onmessage = ({ data }: MessageEvent<StartAnswer>) => {
    if ("failure" in data) fail(data.failure);
    else settle?.resolve(data.factors);
  };
  thread.onerror = (event) => {
    event.preventDefault(); // an unhandled error would end the process
    fail(event.message);
  };
  return {
    compute: (call) =>
      new Promise((resolve, reject) => {
        settle = { resolve, reject };
        name = call.module.name;
        thread.postMessage(call);
      }),
    close: () => thread.terminate(),
  };
}
