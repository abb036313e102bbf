import { Gpu } from "./gpu.ts";

let sharedGpu: Promise<Gpu> | undefined;

/** The one GPU of a test process; it stays open, because opening one takes longer than most tests. */
export function testGpu(): Promise<Gpu> {
  return sharedGpu ??= Gpu.open({ allowCpu: true });
}
