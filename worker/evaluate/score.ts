/** A model's scores on a dataset: its mean loss, and its greedy answers to the dataset's questions. */
import type { Checkpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import type { Example } from "../../shared/data/packing/example.ts";
import { packRows, toMicroBatch } from "../../shared/data/packing/packing.ts";
import type { Gpu } from "../device/gpu.ts";
import type { EvaluationRows, Question } from "./rows.ts";
import { flattenAdapter } from "../model/adapter/adapter_flat.ts";
import type { Adapter } from "../files/adapter_file.ts";
import { LinearReader } from "../files/linears/read_ahead.ts";
import { Generator } from "../model/generation/generate.ts";
import { LanguageModel } from "../model/language_model.ts";
import type { LoadableCheckpoint } from "../model/weights.ts";
import { fusedColumns } from "../../shared/memory/buffer_sizes.ts";
import type { Sampling } from "../model/generation/sampling.ts";
import { linearModules } from "../../shared/model/model_tensors.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";

/** Tokens of one pass: enough to keep a GPU busy. */
const PASS_TOKENS = 4096;

/** The KV cache's limit, unless a single question needs more. */
const MAX_CACHE_BYTES = 2 ** 30;

/**
 * Loads a model that is large enough for all rows, one document or one question at a time.
 * @param adapter null for the base model alone
 * @throws LoraFleetError `does_not_fit`; `invalid_model` if the adapter belongs to a different base model
 */
export async function loadForEvaluation(
  gpu: Gpu,
  checkpoint: LoadableCheckpoint,
  adapter: Adapter | null,
  rows: Pick<EvaluationRows, "examples" | "questions">,
  options: {
    readonly maxNewTokens: number;
    readonly doubleQuantization: boolean;
    readonly fullPrecision: boolean | "by layer";
  },
): Promise<LanguageModel> {
  const { maxNewTokens, doubleQuantization, fullPrecision } = options;
  const lengths = rows.examples.map(({ tokens }) => tokens.length);
  const answered = rows.questions.map(({ prompt }) => prompt.length + maxNewTokens);
  const model = await LanguageModel.load(gpu, checkpoint, {
    lora: adapter?.lora ?? null,
    maxTokens: passTokensFor(lengths, checkpoint.spec, gpu.maxTensorBytes),
    maxPositions: maxOf([...lengths, ...answered]),
    doubleQuantization,
    keptLayers: 1,
    training: false,
    memoryBudgetBytes: gpu.isCpu
      ? Deno.systemMemoryInfo().available - (fullPrecision === true ? denseBytes(checkpoint.spec) : 0)
      : null,
    fullPrecision,
  });
  if (adapter !== null) model.flat.write(flattenAdapter(model.lora.layout, adapter));
  return model;
}

/** As `loadForEvaluation`, a base model on disk whose linear layers are read and quantised by several threads. */
export async function loadFromDisk(
  gpu: Gpu,
  checkpoint: Checkpoint,
  adapter: Adapter | null,
  rows: Pick<EvaluationRows, "examples" | "questions">,
  options: Parameters<typeof loadForEvaluation>[4],
): Promise<LanguageModel> {
  if (options.fullPrecision) return await loadForEvaluation(gpu, checkpoint, adapter, rows, options);
  using linears = new LinearReader(checkpoint, { ...options, cache: null });
  return await loadForEvaluation(gpu, linears.checkpoint, adapter, rows, options);
}

/** The bytes of all linear layers in f32. */
function denseBytes(spec: TransformerSpec): number {
  return 4 * linearModules(spec).reduce((sum, layer) => sum + layer.outFeatures * layer.inFeatures, 0);
}

/**
 * Replaces the adapter by zeros: the model is then the base model, bit for bit.
 * @param start of PiSSA, with which its residual is the base model, up to NF4
 */
export function withoutAdapter(model: LanguageModel, start: Adapter | null = null): void {
  const { layout } = model.lora;
  const flat = start === null ? new Float32Array(layout.elementCount) : flattenAdapter(layout, start);
  model.flat.write(flat);
}

/** Mean cross entropy over the labels of all documents, in nats; null without labels. */
export async function meanLossOf(model: LanguageModel, examples: readonly Example[]): Promise<number | null> {
  let lossSum = 0;
  let labelCount = 0;
  for (const row of packRows(examples, "bfd", model.maxTokens)) {
    const batch = toMicroBatch([row]);
    const evaluated = await model.evaluate(batch);
    lossSum += evaluated.lossSum;
    labelCount += evaluated.labelCount;
  }
  return labelCount === 0 ? null : lossSum / labelCount;
}

/** The answer to each question, in tokens. */
export async function answersTo(
  model: LanguageModel,
  questions: readonly Question[],
  maxNewTokens: number,
  stopTokens: ReadonlySet<number>,
  sampling: Sampling | null = null,
): Promise<number[][]> {
  if (questions.length === 0) return [];
  const needs = questions.map(({ prompt }) => prompt.length + maxNewTokens);
  const generator = new Generator(model, cacheTokensFor(needs, model.spec, model.gpu.maxTensorBytes));
  return await generator.generate(questions.map(({ prompt }) => prompt), {
    maxNewTokens,
    stopTokens,
    sampling,
  });
}

/** Tokens of one pass: all, up to what keeps a GPU busy and can be bound; at least the longest document. */
export function passTokensFor(
  lengths: readonly number[],
  spec: Parameters<typeof fusedColumns>[0] & Pick<TransformerSpec, "hiddenSize">,
  maxTensorBytes: number,
): number {
  const widest = Math.max(
    spec.hiddenSize,
    spec.intermediateSize,
    spec.headCount * spec.headDim,
    fusedColumns(spec),
  );
  const limit = Math.min(PASS_TOKENS, Math.floor(maxTensorBytes / (widest * 4)));
  return Math.max(maxOf(lengths), Math.min(limit, sumOf(lengths)));
}

/** Tokens in the KV cache: what all questions need, within its limits; at least what the longest needs. */
export function cacheTokensFor(
  needs: readonly number[],
  spec: Pick<TransformerSpec, "layerCount" | "kvHeadCount" | "headDim">,
  maxTensorBytes: number,
): number {
  const tensorBytes = spec.kvHeadCount * spec.headDim * 4;
  const limit = Math.floor(Math.min(MAX_CACHE_BYTES / (2 * spec.layerCount), maxTensorBytes) / tensorBytes);
  return Math.max(maxOf(needs), Math.min(limit, sumOf(needs)));
}

/** Without spreading, since a dataset may have more rows than a call takes arguments; at least 1. */
function maxOf(values: readonly number[]): number {
  return values.reduce((max, value) => Math.max(max, value), 1);
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
