// deno-lint-ignore-file require-await -- errors are rejections, even if nothing is awaited
/** The engine: a model on one GPU, its optimizer state in host memory. Runs in a thread of its own (engine_thread.ts). */
import { createHash } from "node:crypto";
import { LoraFleetError } from "../../shared/errors.ts";
import { labelWeight, type MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import { Gpu } from "../device/gpu.ts";
import { encodeAccumulateGradient, encodeMaxAbs } from "../kernels/gradients/gradient_sums.ts";
import { gradientCheckOf, tiesToEven } from "./gradient_check.ts";
import { gradientDigestOf } from "./gradient_digest.ts";
import { writeAdapter } from "../files/adapter_file.ts";
import { openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { LanguageModel } from "../model/language_model.ts";
import { writeTrainingState } from "../optimizer/training_state_file.ts";
import { isPissa } from "../../shared/job/pissa.ts";
import { openPissaBase, type PissaBase } from "./pissa/pissa_base.ts";
import { pissaResult, tensorsOf } from "./pissa/pissa_result.ts";
import { initialAdapter } from "../../shared/memory/fresh_adapter.ts";
import type { TrainingState } from "../optimizer/adamw_state.ts";
import { OptimizerState } from "../optimizer/optimizer_state.ts";
import type { UpdateRequest } from "../optimizer/adamw.ts";
import type {
  Engine,
  EngineSpec,
  EvaluationResult,
  LoadedEngine,
  MicroBatchResult,
  UpdateResult,
} from "./engine.ts";

interface Loaded {
  readonly spec: EngineSpec;
  readonly gpu: Gpu;
  readonly model: LanguageModel;
  readonly state: OptimizerState;
  /** The adapter at a PiSSA job's start, which its results are the difference from; null for other jobs. */
  readonly pissaStart: Float32Array | null;
}

export class TrainingEngine implements Engine {
  #gpu: Gpu | null = null;
  #loaded: Loaded | null = null;

  async load(spec: EngineSpec): Promise<LoadedEngine> {
    await this.close();
    const { model, pissa } = await this.#loadModel(spec).catch(async (thrown) => {
      await this.close(); // or the GPU would keep the uploaded part
      throw thrown;
    });
    const { gpu, planText, plannedBytes } = model;
    const { layout } = model.lora;
    const pissaStart = pissa === null ? null : await pissa.start();
    const initial = pissaStart?.slice() ?? initialAdapter(layout, spec.seed, spec.lora.init_lora_weights);
    const state = new OptimizerState(layout, initial);
    this.#loaded = { spec, gpu, model, state, pissaStart };
    gpu.write(model.flat.adapter, state.adapter);
    const digest = state.digest("current");
    const texts = pissa === null ? [planText] : [planText, pissa.text()];
    return {
      ...{ layout, digest, gpuDescription: gpu.description, plannedBytes },
      planText: texts.join("\n"),
      ...pissaStart === null
        ? {}
        : { pissaDigest: createHash("sha256").update(bytesOf(pissaStart)).digest("hex") },
    };
  }

  async #loadModel(spec: EngineSpec): Promise<{ model: LanguageModel; pissa: PissaBase | null }> {
    const stored = await openCheckpoint(spec.modelFolder);
    const pissa = isPissa(spec.lora) ? openPissaBase(stored, spec.modelFolder, spec.lora) : null;
    const checkpoint = pissa?.checkpoint ?? stored;
    const gpu = this.#gpu = await Gpu.open({ allowCpu: spec.allowCpu });
    const model = await LanguageModel.load(gpu, checkpoint, {
      lora: spec.lora,
      maxTokens: Math.max(spec.maxTokensPerMicroBatch, spec.maxTokensPerEvaluation ?? 0),
      maxHeadRows: spec.maxTokensPerMicroBatch,
      maxPositions: spec.maxPositions,
      doubleQuantization: spec.doubleQuantization,
      keptLayers: spec.gradientCheckpointing ? "what fits" : "all",
      training: true,
      ...(spec.regularisation && { regularisation: spec.regularisation }),
      ...budgetOf(spec, gpu),
    });
    return { model, pissa };
  }

  async computeGradient(batch: MicroBatch, microBatchNumber: number): Promise<MicroBatchResult> {
    const { gpu, model, spec } = this.#ready();
    const { flat, workspace, lora } = model;
    model.encodeGradient(batch, spec.seed, microBatchNumber);
    const { gradientMaxBits: maxBits } = flat;
    gpu.pass.clear(maxBits);
    encodeMaxAbs(gpu.pass, { ...flat, maxBits, count: lora.layout.elementCount });
    const [loss, maxAbs] = await gpu.readAll([workspace.loss, maxBits]);
    const [lossSum, correctCount] = new Float32Array(loss!);
    const counts = { labelCount: labelWeight(batch), correctCount: correctCount! };
    return { lossSum: lossSum!, ...counts, maxAbs: new Float32Array(maxAbs!) };
  }

  async gradientDigest(): Promise<string> {
    const { gpu, model } = this.#ready();
    return gradientDigestOf(await gpu.read(model.flat.gradient));
  }

  async gradientCheck(exponents: Int8Array, seed: number): Promise<Int32Array> {
    const { gpu, model } = this.#ready();
    const gradient = new Float32Array(await gpu.read(model.flat.gradient));
    return gradientCheckOf(model.lora.layout, gradient, exponents, seed, tiesToEven);
  }

  async accumulate(exponents: Int8Array): Promise<void> {
    const { gpu, model: { flat, lora } } = this.#ready();
    const { gradientScales: scales, gradientSums: sums } = flat;
    gpu.write(scales, Float32Array.from(exponents, (exponent) => 2 ** -exponent));
    encodeAccumulateGradient(gpu.pass, { ...flat, scales, sums, count: lora.layout.elementCount });
    gpu.submit();
  }

  async takeSums(): Promise<Int32Array> {
    const loaded = this.#ready();
    const sums = new Int32Array(await loaded.gpu.read(loaded.model.flat.gradientSums));
    clearSums(loaded);
    return sums;
  }

  async rollback(): Promise<void> {
    const loaded = this.#ready();
    clearSums(loaded);
    loaded.state.rollback();
  }

  async update(request: UpdateRequest): Promise<UpdateResult> {
    const { state } = this.#ready();
    const gradientNorm = await state.update(request);
    return { gradientNorm, digest: request.isCompared === false ? "" : state.digest("next") };
  }

  async commit(): Promise<void> {
    const { gpu, model, state } = this.#ready();
    state.commit();
    gpu.write(model.flat.adapter, state.adapter);
  }

  async evaluate(batch: MicroBatch): Promise<EvaluationResult> {
    return await this.#ready().model.evaluate(batch);
  }

  async exportState(): Promise<TrainingState> {
    return this.#ready().state.export();
  }

  async importState(imported: TrainingState): Promise<{ digest: string }> {
    const loaded = this.#ready();
    const { gpu, model, state } = loaded;
    state.import(imported);
    gpu.write(model.flat.adapter, state.adapter);
    clearSums(loaded); // they belong to the replaced state
    return { digest: state.digest("current") };
  }

  async writeState(folder: string): Promise<void> {
    await writeTrainingState(folder, this.#ready().state.view);
  }

  async writeAdapter(folder: string, baseModelName: string): Promise<void> {
    const { model: { lora: { layout } }, spec: { lora }, state, pissaStart } = this.#ready();
    const result = pissaStart === null
      ? { tensors: tensorsOf(layout, state.adapter), lora }
      : pissaResult(layout, lora, state.adapter, pissaStart);
    await writeAdapter(folder, { ...result, baseModelName });
  }

  async close(): Promise<void> {
    this.#loaded?.state.close();
    this.#gpu?.close();
    this.#gpu = null;
    this.#loaded = null;
  }

  #ready(): Loaded {
    if (this.#loaded === null) {
      throw new LoraFleetError("conflict", "cannot use the engine before it has loaded a model");
    }
    return this.#loaded;
  }
}

/** Share of a machine's free memory that kept activations leave to its other programs and workers. */
const LEFT_TO_OTHERS = 0.5;

function budgetOf({ memoryBudgetBytes }: EngineSpec, { isCpu }: Gpu) {
  if (memoryBudgetBytes !== null || !isCpu) return { memoryBudgetBytes };
  const { available } = Deno.systemMemoryInfo();
  return { memoryBudgetBytes: available, headroomBytes: available * LEFT_TO_OTHERS };
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);

function clearSums({ gpu, model }: Loaded): void {
  gpu.pass.clear(model.flat.gradientSums);
  gpu.submit();
}
