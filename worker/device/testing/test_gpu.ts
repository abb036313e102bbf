import { Gpu } from "../gpu.ts";

let sharedGpu: Promise<Gpu> | undefined;

/** The GPU that all tests of a process share, because opening one takes longer than most tests. */
export function testGpu(): Promise<Gpu> {
  return sharedGpu ??= Gpu.open({ allowCpu: true });
}
