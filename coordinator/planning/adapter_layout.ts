/** How a job's adapter lies in memory, from its specification and its base model: what a worker tells is held against it. */
import type { JobSpec } from "../../shared/job/job_spec.ts";
import { linearModules, parseTransformerSpec } from "../../shared/model/transformer_spec.ts";
import { checkSpecAgainstModel } from "../../shared/job/target_modules.ts";
import type { TensorPlace } from "../storage/checkpoint_check.ts";

/** Tensors begin at multiples of so many elements, as the kernels need it (worker/kernels/gradients/gradient_sums.ts). */
const BLOCK_ELEMENTS = 64;

/** The adapter in elements; `parameterCount` without padding. */
export interface Layout {
  readonly tensorCount: number;
  readonly elementCount: number;
  readonly parameterCount: number;
}

/** With the place of every tensor in the flat array. */
export interface AdapterLayout extends Layout {
  readonly tensors: readonly TensorPlace[];
}

/** lora_A [r, in] and lora_B [out, r] for each layer that is targeted, as workers lay them out (worker/model/lora.ts). */
export function adapterLayout(
  spec: Pick<JobSpec, "lora">,
  modules: readonly { readonly name: string; readonly out: number; readonly in: number }[],
): AdapterLayout {
  const { r } = spec.lora;
  const tensors: TensorPlace[] = [];
  let [offset, parameterCount] = [0, 0];
  for (const { name, out, in: inSize } of checkSpecAgainstModel(spec, { modules })) {
    for (const [side, size] of [["A", r * inSize], ["B", out * r]] as const) {
      tensors.push({ name: `base_model.model.${name}.lora_${side}.weight`, offset, size });
      offset += Math.ceil(size / BLOCK_ELEMENTS) * BLOCK_ELEMENTS;
      parameterCount += size;
    }
  }
  return { tensors, tensorCount: tensors.length, elementCount: offset, parameterCount };
}

/** Reads the base model's config.json. Throws where that cannot be read, or fits no job. */
export async function layoutOfJob(
  { spec, modelFolder }: { readonly spec: JobSpec; readonly modelFolder: string },
): Promise<AdapterLayout> {
  const config: unknown = JSON.parse(await Deno.readTextFile(`${modelFolder}/config.json`));
  const modules = linearModules(parseTransformerSpec(config)).map(({ name, outFeatures, inFeatures }) => (
    { name, out: outFeatures, in: inFeatures }
  ));
  return adapterLayout(spec, modules);
}
