/** A PiSSA job's result in the form in which it was trained: the adapter of the job's own rank on NF4(W − s·B₀·A₀). */
import type { Checkpoint } from "../../shared/checkpoint/checkpoint_reader.ts";
import type { LoraDelta } from "../../shared/checkpoint/merge/adapter_deltas.ts";
import { splitHalves } from "../../shared/checkpoint/merge/pissa_halves.ts";
import { residualCheckpoint } from "../../shared/checkpoint/merge/residual.ts";
import { rankFunction } from "../../shared/job/adapter_modules.ts";
import type { RankFields } from "../../shared/job/pissa.ts";
import type { Adapter } from "../files/adapter_file.ts";

export interface TrainedForm {
  readonly checkpoint: Checkpoint;
  readonly adapter: Adapter | null;
  /** With it the residual is the base model again, up to NF4; null: zeros do that. */
  readonly start: Adapter | null;
}

/** Other adapters, and a result on weights that are not quantised, stay what they are. */
export function trainedForm(
  checkpoint: Checkpoint,
  adapter: Adapter | null,
  fullPrecision: boolean,
): TrainedForm {
  if (adapter?.pissa === undefined || fullPrecision) return { checkpoint, adapter, start: null };
  const { tensors, lora, baseModelName, pissa } = adapter;
  const rankOf = rankFunction(pissa);
  const data = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const [trained, atStart]: [Adapter["tensors"][number][], Adapter["tensors"][number][]] = [[], []];
  const starts = new Map<string, LoraDelta>();
  for (const { name, shape: [, inFeatures], data: a } of tensors) {
    const module = /^base_model\.model\.(.+)\.lora_A\.weight$/.exec(name)?.[1];
    if (module === undefined) continue;
    const b = data.get(name.replace(".lora_A.", ".lora_B."))!;
    const outFeatures = b.shape[0];
    const { rank, scale } = rankOf(module);
    const halves = splitHalves({ a, b: b.data }, rank);
    for (const [into, half] of [[trained, halves.trained], [atStart, halves.start]] as const) {
      into.push({ name, shape: [rank, inFeatures], data: half.a });
      into.push({ name: b.name, shape: [outFeatures, rank], data: half.b });
    }
    starts.set(module, { rank, scale, outFeatures, inFeatures, ...halves.start });
  }
  const own = { lora: { ...withoutRanks(lora), ...pissa }, baseModelName };
  return {
    checkpoint: residualCheckpoint(checkpoint, (name) => starts.get(name)),
    adapter: { ...own, tensors: trained },
    start: { ...own, tensors: atStart },
  };
}

function withoutRanks({ rank_pattern: _, alpha_pattern: __, ...rest }: Adapter["lora"]) {
  return rest satisfies Omit<Adapter["lora"], keyof RankFields & string> & Partial<RankFields>;
}
