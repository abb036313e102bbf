/** Allocates the buffers of the memory plan besides weights and activations, and fills those that never change. */
import type { Gpu } from "../device/gpu.ts";
import { type GpuTensor, sliceTensor, type Tensors } from "../device/tensor.ts";
import { longRopeStart } from "../../shared/model/positions/long_rope.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import type { LoraPlan } from "../../shared/memory/lora_plan.ts";
import {
  adapterSizes,
  type PlanOptions,
  ropeRanges,
  workspaceSizes,
} from "../../shared/memory/buffer_sizes.ts";
import { FlatAdapter } from "./adapter/flat_adapter.ts";
import { allocateAll } from "./kept_activations.ts";
import type { Workspace } from "./pass_context.ts";
import { ropeTable } from "./rope_table.ts";

export interface ModelBuffers {
  readonly workspace: Workspace;
  /** For each of the model's ropes, as `ropeTable` makes them. */
  readonly ropeTables: readonly Tensors<"cos" | "sin">[];
  /** The adapter, its gradient and the integer sums. */
  readonly flat: FlatAdapter;
  /** The residual stream before each layer and after the last; without training two that alternate. */
  readonly residuals: readonly GpuTensor[];
}

export function allocateBuffers(
  gpu: Gpu,
  spec: TransformerSpec,
  lora: LoraPlan,
  options: PlanOptions,
): ModelBuffers {
  const { maxTokens, training } = options;
  const workspace = allocateAll(gpu, workspaceSizes(spec, lora, options));
  const flat = new FlatAdapter(gpu, lora, options, adapterSizes(lora, options));
  const residuals = Array.from(
    { length: training ? spec.layerCount + 1 : 2 },
    (_, index) => gpu.allocate(`residual ${index}`, maxTokens * spec.hiddenSize * 4),
  );
  const ropeTables = fillRopeTables(gpu, spec, workspace, options.maxPositions);
  return { workspace, ropeTables, flat, residuals };
}

function fillRopeTables(gpu: Gpu, spec: TransformerSpec, workspace: Workspace, maxPositions: number) {
  const ranges = ropeRanges(spec, maxPositions);
  const longStart = longRopeStart(spec, maxPositions);
  return spec.ropes.map((rope, index) => {
    const { offset, length } = ranges[index]!;
    const values = ropeTable(rope, maxPositions, longStart);
    const cos = sliceTensor(workspace.ropeCos, `cosines ${index}`, offset, length);
    const sin = sliceTensor(workspace.ropeSin, `sines ${index}`, offset, length);
    gpu.write(cos, values.cos);
    gpu.write(sin, values.sin);
    return { cos, sin };
  });
}
