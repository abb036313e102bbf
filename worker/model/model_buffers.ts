/** Allocates the buffers of the memory plan besides weights and activations, and fills those that never change. */
import type { Gpu } from "../device/gpu.ts";
import { type GpuTensor, sliceTensor, type Tensors, type TensorsFor } from "../device/tensor.ts";
import { longRopeStart } from "../../shared/model/positions/long_rope.ts";
import type { TransformerSpec } from "../../shared/model/transformer_spec.ts";
import { GRADIENT_BLOCK_SIZE, type GradientLayout } from "../../shared/model/gradient_layout.ts";
import type { LoraPlan } from "../../shared/memory/lora_plan.ts";
import {
  adapterSizes,
  type PlanOptions,
  ropeRanges,
  workspaceSizes,
} from "../../shared/memory/buffer_sizes.ts";
import { allocateAll } from "./kept_activations.ts";
import type { Workspace } from "./pass_context.ts";
import { ropeTable } from "./rope_table.ts";

export interface ModelBuffers {
  readonly workspace: Workspace;
  /** For each of the model's ropes, as `ropeTable` makes them. */
  readonly ropeTables: readonly Tensors<"cos" | "sin">[];
  /** The flat adapter, its gradient and the integer sums. */
  readonly flat: TensorsFor<ReturnType<typeof adapterSizes>>;
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
  const flat = allocateAll(gpu, adapterSizes(lora, training));
  const residuals = Array.from(
    { length: training ? spec.layerCount + 1 : 2 },
    (_, index) => gpu.allocate(`residual ${index}`, maxTokens * spec.hiddenSize * 4),
  );
  const ropeTables = fillRopeTables(gpu, spec, workspace, options.maxPositions);
  if (training) gpu.write(flat.tensorOfBlock, tensorOfBlock(lora.layout));
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

/** The tensor that each block of the flat gradient belongs to. */
function tensorOfBlock({ tensors, elementCount }: GradientLayout): Uint32Array<ArrayBuffer> {
  const indices = new Uint32Array(elementCount / GRADIENT_BLOCK_SIZE);
  tensors.forEach(({ offset }, index) => indices.fill(index, offset / GRADIENT_BLOCK_SIZE));
  return indices;
}
