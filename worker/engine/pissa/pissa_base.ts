/** A PiSSA job's start on a worker: the adapter, and the base model without it. */
import type { Checkpoint } from "../../../shared/checkpoint/checkpoint_reader.ts";
import type { LoraDelta } from "../../../shared/checkpoint/merge/adapter_deltas.ts";
import { residualCheckpoint } from "../../../shared/checkpoint/merge/residual.ts";
import { adapterModules, assertRanksExist } from "../../../shared/job/adapter_modules.ts";
import type { LoraSpec } from "../../../shared/job/job_spec_schema.ts";
import { assertUnquantised, pissaIterations } from "../../../shared/job/pissa.ts";
import { type GradientLayout, layoutAdapter } from "../../../shared/model/gradient_layout.ts";
import { modelModules } from "../../../shared/model/model_tensors.ts";
import { pissaThreadBytes } from "../../../shared/memory/pissa_cost.ts";
import { computeStarts, threadsFor } from "./start_pool.ts";

export interface PissaBase {
  /** What is trained on. Its first linear layer waits until all weights are taken apart, after the memory plan is checked. */
  readonly checkpoint: Checkpoint;
  /** The adapter at the start, in the layout's flat array. */
  start(): Promise<Float32Array>;
  /** What it took, for the log. */
  text(): string;
}

/** @throws LoraFleetError `invalid_request` for a base model in NF4, or a rank that a layer does not have */
export function openPissaBase(checkpoint: Checkpoint, modelFolder: string, lora: LoraSpec): PissaBase {
  assertUnquantised(checkpoint.storedDoubleQuantization);
  const modules = adapterModules(lora, modelModules(checkpoint.spec));
  assertRanksExist(modules);
  let [threads, seconds] = [1, 0];
  const compute = async () => {
    const began = performance.now();
    threads = threadsFor(modules);
    const iterations = pissaIterations(lora);
    const starts = await computeStarts({ modelFolder, modules, iterations, threads });
    seconds = (performance.now() - began) / 1000;
    return new Map(modules.map((module): [string, LoraDelta] => [
      module.name,
      { ...module, ...starts.get(module.name)! },
    ]));
  };
  let computed: ReturnType<typeof compute> | null = null;
  const deltas = () => computed ??= compute();
  return {
    checkpoint: residualCheckpoint(checkpoint, async (name) => (await deltas()).get(name)),
    start: async () => flatten(layoutAdapter(modules), await deltas()),
    text: () =>
      `PiSSA: ${modules.length} weights taken apart in ${seconds.toFixed(1)} s by ${threads} ` +
      `${threads === 1 ? "thread" : "threads"} with up to ` +
      `${Math.ceil(threads * pissaThreadBytes(modules) / 2 ** 20)} MiB of main memory`,
  };
}

function flatten(layout: GradientLayout, deltas: ReadonlyMap<string, LoraDelta>): Float32Array {
  const flat = new Float32Array(layout.elementCount);
  for (const { name, offset } of layout.tensors) {
    const [, module, side] = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/.exec(name)!;
    const delta = deltas.get(module!)!;
    flat.set(side === "A" ? delta.a : delta.b, offset);
  }
  return flat;
}
