import type { Gpu } from "../../device/gpu.ts";
import type { Processor } from "../../device/processor.ts";

/** Processors of a different kind whose tiles `gpu` can run all the same, for tests. */
export function otherProcessors(gpu: Gpu): { readonly name: string; readonly processor: Processor }[] {
  const all = [
    { name: "GPU", processor: { isCpu: false, subgroupSize: 0 } },
    { name: "CPU without subgroups", processor: { isCpu: true, subgroupSize: 0 } },
  ];
  return all.filter(({ processor }) =>
    processor.isCpu !== gpu.isCpu || (gpu.isCpu && gpu.subgroupSize !== processor.subgroupSize)
  );
}
