/**
 * The main memory of a worker's process, measured beside the plan of the GPU's: with both a process stays within 20 % of what is
 * said (docs/benchmarks/performance.md). On a driver that computes on the CPU the GPU's buffers lie in it as well.
 */
import type { TransformerSpec } from "../model/transformer_spec.ts";
import { linearModules } from "../model/model_tensors.ts";
import { linearSizes } from "./buffer_sizes.ts";
import { formatBytes } from "./format_bytes.ts";
import type { LoraPlan } from "./lora_plan.ts";

export interface HostMemory {
  /** In printing order. */
  readonly parts: readonly { readonly name: string; readonly bytes: number; readonly detail: string }[];
  /** The most at once: loading has ended when training begins. */
  readonly totalBytes: number;
}

const MIB = 2 ** 20;
/** Deno with the worker's threads (115 MiB), the GPU's driver and what it compiles (about 280 MiB with Mesa's CPU driver). */
const RUNTIME_BYTES = 400 * MIB;
/** Adapter and both moments, of the committed state and of the next one. */
const STATE_BYTES = 2 * 3 * 4;
/** The worker's own sums, those that the all-reduce turns into the fleet's, and those that the update reads. */
const SUMS_BYTES = 3 * 4;
/**
 * Local steps: the committed outer state beside what the inner loops have, the next one's adapter and momentum, an inner loop's change,
 * and the sums that it is added to (worker/local_steps/local_steps_engine.ts).
 */
const OUTER_BYTES = (3 + 2 + 1 + 1) * 4;
/** Read ahead of the upload (worker/files/linears/read_ahead.ts). */
const AHEAD_BYTES = 512 * MIB;
/** Of a thread that quantises, beside its weight in NF4 and in the cache's form (worker/files/linears/linear_threads.ts). */
const THREAD_BYTES = 64 * MIB;
const MAX_THREADS = 16;

/** @param processors of the machine; as many threads load a base model */
export function planHostMemory(
  spec: TransformerSpec,
  lora: LoraPlan,
  processors: number,
  hasLocalSteps = false,
): HostMemory {
  const { elementCount } = lora.layout;
  const linears = linearModules(spec).map(({ outFeatures, inFeatures }) =>
    linearSizes(outFeatures, inFeatures, { doubleQuantization: true }).codes
  );
  const threads = Math.min(processors, MAX_THREADS, linears.length);
  const largest = linears.reduce((most, codes) => Math.max(most, codes), 0);
  const ahead = Math.min(AHEAD_BYTES, linears.reduce((sum, codes) => sum + codes, 0));
  const loading = ahead + threads * (THREAD_BYTES + 2 * largest);
  const state = STATE_BYTES * elementCount;
  const sums = SUMS_BYTES * elementCount;
  const outer = hasLocalSteps ? OUTER_BYTES * elementCount : 0;
  const outerParts = hasLocalSteps
    ? [{
      name: "local steps",
      bytes: outer,
      detail: "outer state, committed and next; an inner loop's change",
    }]
    : [];
  return {
    parts: [
      { name: "worker and driver", bytes: RUNTIME_BYTES, detail: "Deno, its threads, the driver, kernels" },
      { name: "optimizer state", bytes: state, detail: "adapter and moments, committed and next" },
      { name: "gradient sums", bytes: sums, detail: "own, on their way, the fleet's" },
      ...outerParts,
      { name: "while loading", bytes: loading, detail: `${threads} threads; gone when training begins` },
    ],
    totalBytes: RUNTIME_BYTES + Math.max(loading, state + sums + outer),
  };
}

/**
 * The parts as a table, for the log.
 * @param gpuBytes the GPU's plan, if its buffers lie in main memory; null: they do not
 */
export function formatHostMemory({ parts, totalBytes }: HostMemory, gpuBytes: number | null): string {
  const line = (name: string, bytes: number, detail = "") =>
    `  ${name.padEnd(26)}${formatBytes(bytes).padStart(11)}  ${detail}`.trimEnd();
  const gpu = gpuBytes === null
    ? []
    : [line("GPU buffers", gpuBytes, "this driver keeps them in main memory")];
  return [
    "main memory of the worker:",
    ...parts.map(({ name, bytes, detail }) => line(name, bytes, detail)),
    ...gpu,
    line("at most", totalBytes + (gpuBytes ?? 0)),
  ].join("\n");
}
