// deno-lint-ignore-file require-await -- errors are rejections, also where nothing is waited for
/** The engine: a model on one GPU, its optimizer state in host memory. Runs in a thread of its own (engine_thread.ts). */
import { LoraFleetError } from "../../shared/errors.ts";
import { countLabels, type MicroBatch } from "../../shared/data/packing/micro_batch.ts";
import { Gpu } from "../device/gpu.ts";
import { encodeAccumulateGradient, encodeMaxAbs } from "../kernels/gradient_sums.ts";
import { gradientCheckOf, tiesToEven } from "./gradient_check.ts";
import { gradientDigestOf } from "./gradient_digest.ts";
import { writeAdapter } from "../files/adapter_file.ts";
import { openCheckpoint } from "../files/checkpoint_reader.ts";
import { LanguageModel } from "../model/language_model.ts";
import { writeTrainingState } from "../files/training_state_file.ts";
import { initialAdapter } from "../model/lora.ts";
import { type AdamWState, adamwUpdate } from "../optimizer/adamw.ts";
import { copyState, digestOf, emptyState } from "../optimizer/adamw_state.ts";
import type {
  Engine,
  EngineSpec,
  LoadedEngine,
  MicroBatchResult,
  TrainingState,
  UpdateRequest,
  UpdateResult,
} from "./engine.ts";

export class TrainingEngine implements Engine {
  #gpu: Gpu | null = null;
  #loaded: { readonly spec: EngineSpec; readonly model: LanguageModel } | null = null;
  #current: AdamWState | null = null;
  /** The outcome of `update`, until it is committed; swaps places with `#current` then, so that nothing is allocated. */
  #next: AdamWState | null = null;
  #updateCount = 0;
  #updated = false;

  async load(spec: EngineSpec): Promise<LoadedEngine> {
    await this.close();
    const model = await this.#loadModel(spec).catch(async (thrown) => {
      await this.close(); // or the GPU would keep what was uploaded
      throw thrown;
    });
    const { gpu } = model;
    this.#loaded = { spec, model };
    const { layout } = model.lora;
    this.#current = { ...emptyState(layout.elementCount), adapter: initialAdapter(layout, spec.seed) };
    this.#next = emptyState(layout.elementCount);
    this.#updateCount = 0;
    gpu.write(model.flat.adapter, this.#current.adapter);
    return {
      layout,
      digest: digestOf(this.#current),
      gpuDescription: gpu.description,
      planText: model.planText,
      plannedBytes: model.plannedBytes,
    };
  }

  async #loadModel(spec: EngineSpec): Promise<LanguageModel> {
    const checkpoint = await openCheckpoint(spec.modelFolder);
    const gpu = this.#gpu = await Gpu.open({ allowCpu: spec.allowCpu });
    return await LanguageModel.load(gpu, checkpoint, {
      lora: spec.lora,
      maxTokens: spec.maxTokensPerMicroBatch,
      maxPositions: spec.maxPositions,
      doubleQuantization: spec.doubleQuantization,
      gradientCheckpointing: spec.gradientCheckpointing && "where needed",
      training: true,
      memoryBudgetBytes: spec.memoryBudgetBytes ?? (gpu.isCpu ? Deno.systemMemoryInfo().available : null),
    });
  }

  async computeGradient(batch: MicroBatch, microBatchNumber: number): Promise<MicroBatchResult> {
    const { model, spec } = this.#ready();
    const { gpu, flat, workspace, lora } = model;
    model.encodeGradient(batch, spec.seed, microBatchNumber);
    gpu.pass.clear(flat.gradientMaxBits);
    encodeMaxAbs(gpu.pass, {
      gradient: flat.gradient,
      tensorOfBlock: flat.tensorOfBlock,
      maxBits: flat.gradientMaxBits,
      count: lora.layout.elementCount,
    });
    const [loss, maxBits] = await gpu.readAll([workspace.loss, flat.gradientMaxBits]);
    return {
      lossSum: new Float32Array(loss!)[0]!,
      labelCount: countLabels(batch),
      maxAbs: new Float32Array(maxBits!),
    };
  }

  async gradientDigest(): Promise<string> {
    const { gpu, flat } = this.#ready().model;
    return gradientDigestOf(await gpu.read(flat.gradient));
  }

  async gradientCheck(exponents: Int8Array, seed: number): Promise<Int32Array> {
    const { gpu, flat, lora } = this.#ready().model;
    const gradient = new Float32Array(await gpu.read(flat.gradient));
    return gradientCheckOf(lora.layout, gradient, exponents, seed, tiesToEven);
  }

  async accumulate(exponents: Int8Array): Promise<void> {
    const { model } = this.#ready();
    const { gpu, flat, lora } = model;
    gpu.write(flat.gradientScales, Float32Array.from(exponents, (exponent) => 2 ** -exponent));
    encodeAccumulateGradient(gpu.pass, {
      gradient: flat.gradient,
      tensorOfBlock: flat.tensorOfBlock,
      scales: flat.gradientScales,
      sums: flat.gradientSums,
      count: lora.layout.elementCount,
    });
    gpu.submit();
  }

  async takeSums(): Promise<Int32Array> {
    const { gpu, flat } = this.#ready().model;
    const sums = new Int32Array(await gpu.read(flat.gradientSums));
    gpu.pass.clear(flat.gradientSums);
    gpu.submit();
    return sums;
  }

  async rollback(): Promise<void> {
    const { gpu, flat } = this.#ready().model;
    gpu.pass.clear(flat.gradientSums);
    gpu.submit();
    this.#updated = false;
  }

  async update(request: UpdateRequest): Promise<UpdateResult> {
    const { model } = this.#ready();
    const { elementCount } = model.lora.layout;
    if (request.sums.length !== elementCount) {
      throw new RangeError(`${request.sums.length} gradient sums, the adapter has ${elementCount} elements`);
    }
    const gradientNorm = adamwUpdate(model.lora.layout, request, this.#current!, this.#next!);
    this.#updated = true;
    return { gradientNorm, digest: request.isCompared === false ? "" : digestOf(this.#next!) };
  }

  async commit(): Promise<void> {
    const { gpu, flat } = this.#ready().model;
    if (!this.#updated) {
      throw new LoraFleetError("conflict", "Committing failed: there is no update to commit.");
    }
    [this.#current, this.#next] = [this.#next, this.#current];
    this.#updated = false;
    this.#updateCount++;
    gpu.write(flat.adapter, this.#current!.adapter);
  }

  async exportState(): Promise<TrainingState> {
    this.#ready();
    return { updateCount: this.#updateCount, ...copyState(this.#current!) };
  }

  async importState(state: TrainingState): Promise<{ digest: string }> {
    const { gpu, flat, lora } = this.#ready().model;
    const { elementCount } = lora.layout;
    for (
      const [name, { length }] of Object.entries({
        adapter: state.adapter,
        firstMoment: state.firstMoment,
        secondMoment: state.secondMoment,
      })
    ) {
      if (length !== elementCount) {
        throw new LoraFleetError(
          "corrupt",
          `Loading a training state failed: ${name} has ${length} elements, the adapter has ${elementCount}.`,
        );
      }
    }
    this.#current = copyState(state);
    this.#updateCount = state.updateCount;
    this.#updated = false;
    gpu.write(flat.adapter, this.#current.adapter);
    gpu.pass.clear(flat.gradientSums); // they belong to the state that was
    gpu.submit();
    return { digest: digestOf(this.#current) };
  }

  async writeState(folder: string): Promise<void> {
    this.#ready();
    await writeTrainingState(folder, { updateCount: this.#updateCount, ...this.#current! });
  }

  async writeAdapter(folder: string, baseModelName: string): Promise<void> {
    const { model, spec } = this.#ready();
    const { adapter } = this.#current!;
    const tensors = model.lora.layout.tensors.map(({ name, shape, offset }) => ({
      name,
      shape,
      data: adapter.subarray(offset, offset + shape[0] * shape[1]),
    }));
    await writeAdapter(folder, { tensors, lora: spec.lora, baseModelName });
  }

  async close(): Promise<void> {
    this.#gpu?.close();
    this.#gpu = null;
    this.#loaded = null;
  }

  #ready() {
    if (this.#loaded === null) {
      throw new LoraFleetError("conflict", "The engine was asked to work before it loaded a model.");
    }
    return this.#loaded;
  }
}
