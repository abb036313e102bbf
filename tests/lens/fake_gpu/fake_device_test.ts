import { assert, assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { encodeMatmul } from "../../../worker/kernels/matmul/matmul.ts";
import { hardwareOf, lensCard } from "../cards.ts";
import { openFakeGpu } from "./open_fake_gpu.ts";
import { parseProgram, type RecordedCommand } from "./recorded.ts";

const hardware = { ...hardwareOf(lensCard("rtx3090")), memoryBytes: 2 ** 30 };

Deno.test("a dispatch is recorded with its kernel, params, tensors and grid, at its submit", async () => {
  const { gpu, device } = await openFakeGpu(hardware);
  const seen: RecordedCommand[] = [];
  device.onSubmit = (commands) => seen.push(...commands);
  const [a, b, out] = ["a", "b", "out"].map((label) => gpu.allocate(label, 4 * 256 * 256));
  encodeMatmul(gpu.pass, { a: a!, b: b!, out: out!, m: 256, n: 256, k: 256, layout: "nt", alpha: 0.5 });
  assertEquals(seen, []);
  gpu.submit();
  const [command] = seen;
  assert(command?.kind === "dispatch");
  assertEquals([command.kernel, command.params], ["matmul", {
    ...{ m: 256, n: 256, k: 256, alpha: 0.5 },
    ...{ firstGroupX: 0, firstGroupY: 0 },
  }]);
  assertEquals(Object.keys(command.bindings), ["a", "b", "bias", "out"]);
  assertEquals([command.bindings["out"]!.buffer.label, command.bindings["out"]!.access], [
    "out",
    "read_write",
  ]);
  assertEquals(
    command.groups[0] * command.groups[1] * command.constants["TILE_M"]! * command.constants["TILE_N"]!,
    65_536,
  );
  gpu.close();
});

Deno.test("memory: what a card has can be allocated, one byte more is an error as on a GPU, freed memory comes back", async () => {
  const { gpu } = await openFakeGpu(hardware);
  gpu.allocate("half", 2 ** 29);
  await gpu.throwIfFailed("Allocating");
  gpu.allocate("more than half", 2 ** 29 + 4);
  const error = await assertRejects(
    () => gpu.throwIfFailed("Allocating"),
    LoraFleetError,
    '"more than half"',
  );
  assertEquals(error.code, "does_not_fit");
  gpu.close();
});

Deno.test("one buffer bound read-only and read-write is refused, as wgpu refuses it", async () => {
  const { gpu } = await openFakeGpu(hardware);
  const whole = gpu.allocate("whole", 8 * 256 * 256);
  const b = gpu.allocate("b", 4 * 256 * 256);
  const half = { ...whole, byteLength: 4 * 256 * 256 };
  const out = { ...half, byteOffset: 4 * 256 * 256 };
  encodeMatmul(gpu.pass, { a: half, b, out, m: 256, n: 256, k: 256, layout: "nt" });
  const error = await assertRejects(
    () => gpu.throwIfFailed("Computing"),
    LoraFleetError,
    '"whole" is bound read-only and read-write',
  );
  assertEquals(error.code, "gpu_failure");
  gpu.close();
});

Deno.test("navigator.gpu is the real one again once the fake device is open", async () => {
  const before = navigator.gpu;
  (await openFakeGpu(hardware)).gpu.close();
  assert(navigator.gpu === before);
});

Deno.test("the invocations of a workgroup are read where WGSL has them", () => {
  const sizeOf = (wgsl: string) => parseProgram("k", wgsl).groupSize;
  assertEquals(sizeOf("@compute @workgroup_size(64)\nfn main"), 64);
  assertEquals(sizeOf("const A = 8u;\nconst B: u32 = A * 4u;\n@compute @workgroup_size(B, 2)"), 64);
  assertEquals(sizeOf("const T: u32 = 512;\nconst S: u32 = 4;\nconst O = T / S;\n@workgroup_size(O)"), 128);
});
