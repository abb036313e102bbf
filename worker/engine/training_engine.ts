// deno-lint-ignore-file require-await -- errors are rejections, even if nothing is awaited
/** The engine: a model on one GPU, its optimizer state in host memory. Runs in a thread of its own (engine_thread.ts). */
import { createHash } from "node:crypto";
import { LoraFleetError } from "../../shared/errors.ts";
import { labelWeight, type MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import { Gpu } from "../device/gpu.ts";
import { openDevice } from "../device/open_device.ts";
import type { ReadProgress } from "../device/staged_reads.ts";
import { gradientCheckOf, tiesToEven } from "./gradient_check.ts";
import { budgetsHere, type GpuBudgets } from "./gpu_budget.ts";
import { gradientDigestOf } from "./gradient_digest.ts";
import { loadModel } from "./load_model.ts";
import { withRoom } from "./with_room.ts";
import { writeAdapter } from "../files/adapter_file.ts";
import type { LanguageModel } from "../model/language_model.ts";
import { writeTrainingState } from "../optimizer/training_state_file.ts";
import { pissaResult, tensorsOf } from "./pissa/pissa_result.ts";
import { initialAdapter } from "../../shared/memory/fresh_adapter.ts";
import type { TrainingState } from "../optimizer/adamw_state.ts";
import { ShownAdapter } from "./shown_adapter.ts";
import type { Arriving } from "../async/arrival.ts";
import { turnOfEventLoop } from "../async/turn.ts";
import { OptimizerState } from "../optimizer/optimizer_state.ts";
import type { UpdateRequest } from "../optimizer/adamw.ts";
import type { ReopenableEngine } from "./resetting_engine.ts";
import type { EngineSpec, EvaluationResult, LoadedEngine, MicroBatchResult, UpdateResult } from "./engine.ts";

interface Loaded {
  readonly spec: EngineSpec;
  readonly gpu: Gpu;
  readonly model: LanguageModel;
  readonly state: OptimizerState;
  readonly shown: ShownAdapter;
  /** The adapter at a PiSSA job's start, which its results are the difference from; null for other jobs. */
  readonly pissaStart: Float32Array | null;
}

export interface TrainingEngineOptions {
  /** Gets what goes on beside the answers, a sentence for the log. */
  readonly tell?: (note: string) => void;
  readonly open?: typeof openDevice;
}

export class TrainingEngine implements ReopenableEngine {
  readonly #tell: (note: string) => void;
  readonly #open: typeof openDevice;
  readonly #budgets: GpuBudgets;
  #gpu: Gpu | null = null;
  #loaded: Loaded | null = null;

  constructor({ tell = () => {}, open = openDevice }: TrainingEngineOptions = {}) {
    this.#tell = tell;
    this.#open = open;
    this.#budgets = budgetsHere(open, tell);
  }

  async load(spec: EngineSpec): Promise<LoadedEngine> {
    await this.close();
    const gpu = this.#gpu = await Gpu.open({ allowCpu: spec.allowCpu }, this.#open);
    const loading = loadModel(spec, gpu, this.#budgets);
    loading.catch(() => this.close()); // or the GPU would keep the uploaded part
    const parts = await loading;
    const { model, pissa } = parts;
    const { layout } = model.lora;
    const pissaStart = pissa === null ? null : await pissa.start();
    const state = new OptimizerState(layout, { tell: this.#tell });
    const digest = await state.begin(
      pissaStart ?? initialAdapter(layout, spec.seed, spec.lora.init_lora_weights),
    );
    const shown = new ShownAdapter(model.flat);
    this.#loaded = { spec, gpu, model, state, shown, pissaStart };
    shown.show(state.adapter);
    return { ...factsOf(parts, pissaStart), digest, gpuDescription: gpu.description };
  }

  async reopen(submitTargetMs: number): Promise<void> {
    const before = this.#ready();
    this.#gpu?.close();
    const gpu = this.#gpu = await Gpu.open({ ...before.spec, submitTargetMs }, this.#open);
    const { model } = await loadModel(before.spec, gpu, this.#budgets);
    this.#loaded = { ...before, gpu, model, shown: new ShownAdapter(model.flat) };
  }

  async computeGradient(batch: MicroBatch, microBatchNumber: number): Promise<MicroBatchResult> {
    const { gpu, model, spec } = this.#ready();
    const { flat, workspace } = model;
    const [loss, maxAbs] = await this.#withRoom(() => {
      model.encodeGradient(batch, spec.seed, microBatchNumber);
      flat.encodeMaxAbs();
      return gpu.readAll([workspace.loss, flat.maxBits]);
    });
    const [lossSum = NaN, correctCount = NaN] = new Float32Array(loss!);
    return { lossSum, labelCount: labelWeight(batch), correctCount, maxAbs: new Float32Array(maxAbs!) };
  }

  async gradientDigest(): Promise<string> {
    return gradientDigestOf((await this.#withRoom(() => this.#ready().model.flat.readGradient())).buffer);
  }

  async gradientCheck(exponents: Int8Array, seed: number): Promise<Int32Array> {
    const { model } = this.#ready();
    const gradient = await this.#withRoom(() => model.flat.readGradient());
    return gradientCheckOf(model.lora.layout, gradient, exponents, seed, tiesToEven);
  }

  async accumulate(exponents: Int8Array): Promise<void> {
    const { gpu, model: { flat } } = this.#ready();
    flat.encodeAccumulate(exponents);
    gpu.submit();
    // Not done twice: whether it was added is not certain.
    await gpu.throwIfFailed("Adding a gradient to the sums");
  }

  async readSums(arriving?: Arriving): Promise<Int32Array> {
    const { model, state: { sums } } = this.#ready();
    return await this.#withRoom(() => model.flat.readSums(sums, arriving && progressOf(arriving, sums)));
  }

  async dropSums(): Promise<void> {
    clearSums(this.#ready());
  }

  async rollback(): Promise<void> {
    const loaded = this.#ready();
    clearSums(loaded);
    loaded.state.rollback();
  }

  async update(request: UpdateRequest): Promise<UpdateResult> {
    const loaded = this.#ready();
    const { state, shown } = loaded;
    shown.keepOnly(state.adapter);
    const result = await state.update(request);
    // After the answer, so that the adapter is on its way to the GPU while the coordinator decides on the step.
    turnOfEventLoop().then(() => this.#loaded === loaded && showPending(loaded));
    return result;
  }

  async commit(): Promise<void> {
    const loaded = this.#ready();
    loaded.state.commit();
    loaded.shown.show(loaded.state.adapter);
    clearSums(loaded);
  }

  async evaluate(batch: MicroBatch): Promise<EvaluationResult> {
    return await this.#withRoom(() => this.#ready().model.evaluate(batch));
  }

  async exportState(): Promise<TrainingState> {
    return this.#ready().state.export();
  }

  async copyAdapter(): Promise<Float32Array> {
    return this.#ready().state.adapter.slice();
  }

  async importState(imported: TrainingState, expected?: string): Promise<{ digest: string }> {
    const loaded = this.#ready();
    const { state, shown } = loaded;
    const digest = await state.import(imported, expected);
    shown.keepOnly(null);
    shown.show(state.adapter);
    clearSums(loaded); // they belong to the replaced state
    return { digest };
  }

  async writeState(folder: string): Promise<void> {
    await writeTrainingState(folder, this.#ready().state.view);
  }

  async writeAdapter(folder: string, baseModelName: string): Promise<void> {
    await writeResult(this.#ready(), folder, baseModelName);
  }

  async close(): Promise<void> {
    this.#loaded?.state.close();
    this.#gpu?.close();
    this.#gpu = null;
    this.#loaded = null;
  }

  #withRoom<T>(compute: () => Promise<T>): Promise<T> {
    return withAdapter(this.#ready(), compute, this.#tell);
  }

  #ready(): Loaded {
    if (this.#loaded === null) {
      throw new LoraFleetError("conflict", "cannot use the engine before it has loaded a model");
    }
    return this.#loaded;
  }
}

/** What the engine reports of a load, but for digest and GPU. */
function factsOf(
  { model, pissa, linears, planText, budgetBytes }: Awaited<ReturnType<typeof loadModel>>,
  pissaStart: Float32Array | null,
): Omit<LoadedEngine, "digest" | "gpuDescription"> {
  const { plannedBytes, lora: { layout } } = model;
  const texts = [planText, pissa?.text() ?? null, linears.text].filter((text) => text !== null);
  return {
    ...{ layout, plannedBytes, budgetBytes, planText: texts.join("\n") },
    ...linears.warnings.length > 0 && { warnings: linears.warnings },
    ...pissaStart !== null &&
      { pissaDigest: createHash("sha256").update(bytesOf(pissaStart)).digest("hex") },
  };
}

async function writeResult(
  { model: { lora: { layout } }, spec: { lora }, state, pissaStart }: Loaded,
  folder: string,
  baseModelName: string,
): Promise<void> {
  const result = pissaStart === null
    ? { tensors: tensorsOf(layout, state.adapter), lora }
    : pissaResult(layout, lora, state.adapter, pissaStart);
  await writeAdapter(folder, { ...result, baseModelName });
}

/** A driver that fails is told by the next call, which writes the adapter that it needs. */
function showPending({ state, shown }: Loaded): void {
  const { pendingAdapter } = state;
  try {
    if (pendingAdapter !== null) shown.show(pendingAdapter);
  } catch {
    shown.keepOnly(null);
  }
}

/** Computes with the committed adapter, and again with fewer kept layers if memory runs out. */
function withAdapter<T>(
  { gpu, model, state, shown }: Loaded,
  compute: () => Promise<T>,
  tell: (note: string) => void,
): Promise<T> {
  gpu.pass.submits.tell = tell;
  const attempt = async () => {
    try {
      shown.show(state.adapter);
      return await compute();
    } catch (thrown) {
      shown.keepOnly(null); // what failed may have been its way to the GPU
      throw thrown;
    }
  };
  return withRoom(model, attempt, tell);
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);

function progressOf(arriving: Arriving, sums: Int32Array): ReadProgress {
  const { BYTES_PER_ELEMENT } = sums;
  return {
    get bytesThere() {
      return arriving.count * BYTES_PER_ELEMENT;
    },
    reach: (byteLength) => arriving.reach(sums, byteLength / BYTES_PER_ELEMENT),
  };
}

function clearSums({ gpu, model }: Loaded): void {
  model.flat.encodeClearSums();
  gpu.submit();
}
