/** What a PiSSA job hands out: its adapter and its start as one LoRA for the base model itself. */
import { joinHalves } from "../../../shared/checkpoint/merge/pissa_halves.ts";
import type { LoraSpec } from "../../../shared/job/job_spec_schema.ts";
import { type RankFields, resultLora } from "../../../shared/job/pissa.ts";
import type { GradientLayout } from "../../../shared/model/gradient_layout.ts";
import type { Adapter } from "../../files/adapter_file.ts";

/** The tensors of a flat adapter. */
export function tensorsOf({ tensors }: GradientLayout, flat: Float32Array): Adapter["tensors"] {
  return tensors.map(({ name, shape, offset }) => ({
    name,
    shape,
    data: flat.subarray(offset, offset + shape[0] * shape[1]),
  }));
}

export function pissaResult(
  layout: GradientLayout,
  lora: LoraSpec,
  adapter: Float32Array,
  start: Float32Array,
): Omit<Adapter, "baseModelName"> {
  const [trained, starts] = [tensorsOf(layout, adapter), tensorsOf(layout, start)];
  const tensors: Adapter["tensors"][number][] = [];
  // A and B of a layer lie one behind the other.
  for (let at = 0; at < trained.length; at += 2) {
    const [a, b] = [trained[at]!, trained[at + 1]!];
    const rank = a.shape[0];
    const joined = joinHalves(
      { a: a.data, b: b.data },
      { a: starts[at]!.data, b: starts[at + 1]!.data },
      rank,
    );
    tensors.push({ name: a.name, shape: [2 * rank, a.shape[1]], data: joined.a });
    tensors.push({ name: b.name, shape: [b.shape[0], 2 * rank], data: joined.b });
  }
  const { r, lora_alpha, use_rslora, rank_pattern, alpha_pattern } = lora;
  const pissa: RankFields = {
    ...{ r, lora_alpha, use_rslora },
    ...rank_pattern === undefined ? {} : { rank_pattern },
    ...alpha_pattern === undefined ? {} : { alpha_pattern },
  };
  return { tensors, lora: resultLora(lora), pissa };
}
