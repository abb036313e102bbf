/** The layout of a job's adapter, derived from its specification and base model to check what workers report. */
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import { checkSpecAgainstModel } from "../../shared/job/adapter_modules.ts";
import { layoutAdapter } from "../../shared/model/gradient_layout.ts";
import { type ModelModules, modelModules } from "../../shared/model/model_tensors.ts";
import { parseTransformerSpec } from "../../shared/model/parse_transformer_spec.ts";
import type { TensorPlace } from "../storage/checkpoint_check.ts";

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

/** The layout that workers use: lora_A [r, in] and lora_B [out, r] of each targeted layer. */
export function adapterLayout(spec: Pick<JobSpec, "lora">, modules: ModelModules): AdapterLayout {
  const targets = checkSpecAgainstModel(spec, modules);
  const { tensors, elementCount, parameterCount } = layoutAdapter(targets);
  const places = tensors.map(({ name, offset, shape }) => ({
    name,
    offset,
    shape,
    size: shape[0] * shape[1],
  }));
  return { tensors: places, tensorCount: tensors.length, elementCount, parameterCount };
}

/** Reads the base model's config.json. Rejects if it is unreadable or fits no job. */
export async function layoutOfJob(
  { spec, modelFolder }: { readonly spec: JobSpec; readonly modelFolder: string },
): Promise<AdapterLayout> {
  const config: unknown = JSON.parse(await Deno.readTextFile(`${modelFolder}/config.json`));
  return adapterLayout(spec, modelModules(parseTransformerSpec(config)));
}
