import { assertEquals } from "@std/assert";
import { inPieces } from "./readback.ts";
import type { GpuTensor } from "./tensor.ts";

const tensor = (label: string, byteOffset: number, byteLength: number): GpuTensor => (
  { label, byteOffset, byteLength, buffer: {} as GPUBuffer }
);

Deno.test("a large readback comes in pieces that cross from one tensor to the next, in their order", () => {
  const tensors = [tensor("a", 512, 600), tensor("b", 0, 0), tensor("c", 256, 256), tensor("d", 0, 168)];
  const groups = [...inPieces(tensors, 512)].map((group) =>
    group.map(({ label, byteOffset, byteLength }) => [label, byteOffset, byteLength])
  );
  assertEquals(groups, [
    [["a", 512, 512]],
    [["a", 1024, 88], ["c", 256, 256], ["d", 0, 168]],
  ]);
  assertEquals([...inPieces([tensor("none", 0, 0)], 512)], []);
});
