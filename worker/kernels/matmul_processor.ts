/** What the tiles of a product are chosen for. */
import type { Gpu } from "../device/gpu.ts";
import type { Pass } from "../device/pass.ts";
import type { Processor } from "./matmul_tile.ts";

/** The processor that a pass runs on: one whose tiles run everywhere, because a pass does not tell. */
export function processorOf(_pass: Pass): Processor {
  return { isCpu: true, subgroupSize: 0 };
}

/** Processors of another kind whose tiles `gpu` can run all the same, for tests. */
export function otherProcessors(_gpu: Gpu): { readonly name: string; readonly processor: Processor }[] {
  return [{ name: "GPU", processor: { isCpu: false, subgroupSize: 0 } }];
}
