/**
 * How far a merge is from the trained model: the base model in NF4 alone, then with the adapter beside it, then the merged
 * weights in f32, layer by layer (worker/model/layerwise.ts).
 */
import { openCheckpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import { type MergeSource } from "../../shared/checkpoint/merge/merged_model.ts";
import type { MergedDtype } from "../../shared/checkpoint/merge/round.ts";
import { LoraFleetError } from "../../shared/errors.ts";
import type { Example } from "../../shared/data/packing/example.ts";
import { documentsIn } from "../../shared/data/packing/packing.ts";
import { decodeMicroBatch } from "../../shared/protocol/micro_batch_codec.ts";
import type { Drift } from "../../shared/protocol/messages_measure.ts";
import type { Gpu } from "../device/gpu.ts";
import { type Adapter, readAdapter } from "../files/adapter_file.ts";
import { layerwiseLogits } from "../model/layerwise.ts";
import type { LanguageModel } from "../model/language_model.ts";
import {
  compareRow,
  type Comparison,
  driftOfRows,
  isExact,
  logitsOf,
  type RowLogits,
  rowsForDrift,
  wantedOf,
} from "./drift.ts";
import { openMergedCheckpoint } from "./merged_checkpoint.ts";
import { trainedForm } from "./pissa_form.ts";
import { loadForEvaluation, loadFromDisk, withoutAdapter } from "./score.ts";

export interface MeasureInput extends Omit<MergeSource, "adapterPath"> {
  /** With the adapter's two files as PEFT writes them. */
  readonly adapterFolder: string;
  /** A file with one micro-batch whose segments are the rows. */
  readonly rowsPath: string;
  readonly dtype: MergedDtype | null;
  readonly allowCpu: boolean;
  /** Of the trained model's passes: rows that are not reached by then are left out. */
  readonly maxMilliseconds: number;
}

interface Outside {
  readonly openGpu: (options: { readonly allowCpu: boolean }) => Promise<Gpu>;
  readonly now: () => number;
}

/** Rejects with `invalid_dataset` if no row has a label, `does_not_fit`, `no_gpu`, `gpu_failure`, and as `openMerged`. */
export async function measureMerge(input: MeasureInput, outside: Outside): Promise<Drift> {
  const checkpoint = await openCheckpoint(input.modelFolder);
  const { vocabSize } = checkpoint.spec;
  const batch = decodeMicroBatch(await Deno.readFile(input.rowsPath), { vocabularySize: vocabSize });
  const examples = rowsForDrift(documentsIn(batch), vocabSize);
  const options = { maxNewTokens: 0, doubleQuantization: input.doubleQuantization };
  const form = trainedForm(checkpoint, await readAdapter(input.adapterFolder), false);
  const { trained, exactOfBase } = await onGpu(input, outside, async (gpu) => {
    const rows = { examples, questions: [] };
    const model = await loadFromDisk(gpu, form.checkpoint, form.adapter, rows, {
      ...options,
      fullPrecision: false,
    });
    return await withAndWithoutAdapter(model, form.start, examples, outside.now, input.maxMilliseconds);
  });
  const source = { ...input, adapterPath: `${input.adapterFolder}/adapter_model.safetensors` };
  const merged = await openMergedCheckpoint(source, input.dtype);
  const compared = await onGpu(input, outside, async (gpu) => {
    const rows = { examples: trained.map(({ example }) => example), questions: [] };
    const model = await loadForEvaluation(gpu, merged, null, rows, { ...options, fullPrecision: "by layer" });
    return await compareWith(model, merged, trained);
  });
  return { ...driftOfRows(compared), exact_match_base: exactOfBase };
}

async function onGpu<T>(
  { allowCpu }: MeasureInput,
  { openGpu }: Outside,
  use: (gpu: Gpu) => Promise<T>,
): Promise<T> {
  const gpu = await openGpu({ allowCpu });
  try {
    return await use(gpu);
  } finally {
    gpu.close();
  }
}

type MeasuredRow = RowLogits & { readonly example: Example };

/** The trained model's logits, and the share of these rows that the base model alone has right. */
async function withAndWithoutAdapter(
  model: LanguageModel,
  start: Adapter | null,
  examples: readonly Example[],
  now: () => number,
  maxMilliseconds: number,
): Promise<{ trained: MeasuredRow[]; exactOfBase: number }> {
  const trained: MeasuredRow[] = [];
  const startedAt = now();
  for (const example of examples) {
    if (trained.length > 0 && now() - startedAt > maxMilliseconds) break;
    trained.push(...(await logitsOf(model, [example])).map((logits) => ({ ...logits, example })));
  }
  if (trained.length === 0) throw new LoraFleetError("invalid_dataset", "no row has a token to predict");
  withoutAdapter(model, start);
  let exact = 0;
  for (const { example } of trained) {
    exact += Number((await logitsOf(model, [example])).every(isExact));
  }
  return { trained, exactOfBase: exact / trained.length };
}

async function compareWith(
  model: LanguageModel,
  merged: Parameters<typeof layerwiseLogits>[1],
  trained: readonly MeasuredRow[],
): Promise<(readonly Comparison[])[]> {
  const wanted = trained.map(({ example }) => wantedOf(example, model.maxTokens)!);
  const compared: (readonly Comparison[])[] = [];
  for await (const logits of layerwiseLogits(model, merged, wanted)) {
    const row = trained[compared.length]!;
    compared.push(compareRow(row, { labels: row.labels, logits }));
  }
  return compared;
}
