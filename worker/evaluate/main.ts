/**
 * Evaluates a base model, with or without an adapter, on a dataset: mean loss, and the share of prompts whose greedy answer
 * equals the dataset's. Exit codes: 0 done, 1 failed, 2 usage.
 */
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { boundTo, loadTokenizer, type Tokenizer } from "../../shared/data/tokenizer/tokenizer.ts";
import { openFirstGpu } from "../device/first_gpu.ts";
import { type EvaluateOptions, parseEvaluateOptions, USAGE } from "./options.ts";
import { modelFolderOf } from "./model_folder.ts";
import { type EvaluationResult, resultOf } from "./result.ts";
import type { Drift } from "../../shared/protocol/messages_measure.ts";
import { driftOf, logitsOf, rowsForDrift } from "./drift.ts";
import { type EvaluationRows, readEvaluationRows } from "./rows.ts";
import { answersTo, loadFromDisk, meanLossOf, withoutAdapter } from "./score.ts";
import { formatSideBySide, type SideBySide } from "./side_by_side.ts";
import type { LanguageModel } from "../model/language_model.ts";
import { type Adapter, readAdapter } from "../files/adapter_file.ts";
import { trainedForm } from "./pissa_form.ts";
import { type Checkpoint, openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { writeFilesAtomically } from "../../shared/checkpoint/atomic_file.ts";

/** One result, or that of the base model beside the tuned one's. */
type Evaluated = (EvaluationResult | SideBySide) & { readonly drift?: Drift };

async function evaluate(options: EvaluateOptions): Promise<Evaluated> {
  const { model, datasetPath, driftFolder } = options;
  const modelFolder = await modelFolderOf(model, (name) => Deno.env.get(name) ?? null);
  const checkpoint = await openCheckpoint(modelFolder);
  const { vocabSize, eosTokenIds } = checkpoint.spec;
  const tokenizer = boundTo(await loadTokenizer(modelFolder), vocabSize);
  const knownStops = new Set([...tokenizer.eosTokenIds, ...eosTokenIds]);
  const rows = await readEvaluationRows(datasetPath, tokenizer, knownStops, options.textField);
  rows.warnings.forEach((warning) => console.error(`evaluate: ${warning}`));
  const compared = rowsForDrift(rows.examples, vocabSize);

  const { logits, result } = await withModel(options, checkpoint, rows, async (model, start) => ({
    logits: driftFolder === null ? null : await logitsOf(model, compared),
    result: await scoresOf(model, start, rows, options, tokenizer),
  }));
  if (logits === null || driftFolder === null) return result;
  const merged = { ...options, adapterFolder: null, fullPrecision: true };
  const mergedCheckpoint = await openCheckpoint(driftFolder);
  const other = await withModel(merged, mergedCheckpoint, rows, (model) => logitsOf(model, compared));
  return { ...result, drift: driftOf(logits, other) };
}

async function withModel<T>(
  options: EvaluateOptions,
  checkpoint: Checkpoint,
  rows: EvaluationRows,
  use: (model: LanguageModel, start: Adapter | null) => Promise<T>,
): Promise<T> {
  const { adapterFolder } = options;
  const adapter = adapterFolder === null ? null : await readAdapter(adapterFolder);
  const form = trainedForm(checkpoint, adapter, options.fullPrecision);
  const gpu = await openFirstGpu(options);
  try {
    const model = await loadFromDisk(gpu, form.checkpoint, form.adapter, rows, options);
    return await use(model, form.start);
  } finally {
    gpu.close();
  }
}

/** Afterwards the model may be without its adapter. */
async function scoresOf(
  model: LanguageModel,
  start: Adapter | null,
  rows: EvaluationRows,
  { maxNewTokens, sampling, sideBySide }: EvaluateOptions,
  tokenizer: Tokenizer,
): Promise<EvaluationResult | SideBySide> {
  const questions = maxNewTokens === 0 ? [] : rows.questions;
  const textOf = (ids: Iterable<number>) => tokenizer.decode(ids, { skipSpecialTokens: true });
  const score = async () => {
    const loss = await meanLossOf(model, rows.examples);
    const answers = await answersTo(model, questions, maxNewTokens, rows.stopTokens, sampling);
    return resultOf(loss, questions, answers, textOf);
  };
  const tuned = await score();
  if (!sideBySide) return tuned;
  withoutAdapter(model, start);
  return { base: await score(), tuned };
}

async function main(options: EvaluateOptions): Promise<number> {
  try {
    const result = await evaluate(options);
    if ("base" in result) {
      console.log(formatSideBySide(result));
      if (result.drift !== undefined) console.log(JSON.stringify({ drift: result.drift }, null, 2));
    }
    const json = JSON.stringify(result, null, 2);
    if (options.resultPath !== null) {
      const parts = [new TextEncoder().encode(`${json}\n`)];
      await writeFilesAtomically([{ path: options.resultPath, parts }]);
    } else if (!("base" in result)) console.log(json);
    return 0;
  } catch (error) {
    if (!(error instanceof LoraFleetError)) console.error(error);
    console.error(`evaluate: ${messageOf(error)}`);
    return 1;
  }
}

let options: EvaluateOptions | null;
try {
  options = parseEvaluateOptions(Deno.args);
} catch (error) {
  if (!(error instanceof LoraFleetError)) throw error;
  console.error(`evaluate: ${error.message}; --help lists all options`);
  Deno.exit(2);
}
if (options === null) console.log(USAGE);
else Deno.exit(await main(options));
