/** What the tiles of a product are chosen for. */
import type { Gpu } from "../device/gpu.ts";
import type { Pass } from "../device/pass.ts";
import type { Processor } from "./matmul_tile.ts";

/** The processor that a pass runs on. */
export function processorOf({ gpu: { isCpu, subgroupSize } }: Pass): Processor {
  return { isCpu, subgroupSize };
}

/** Processors of another kind whose tiles `gpu` can run all the same, for tests. */
export function otherProcessors(gpu: Gpu): { readonly name: string; readonly processor: Processor }[] {
  const all = [
    { name: "GPU", processor: { isCpu: false, subgroupSize: 0 } },
    { name: "CPU without subgroups", processor: { isCpu: true, subgroupSize: 0 } },
  ];
  return all.filter(({ processor }) =>
    processor.isCpu !== gpu.isCpu || (gpu.isCpu && gpu.subgroupSize !== processor.subgroupSize)
  );
}
