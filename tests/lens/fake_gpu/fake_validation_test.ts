/** What the fake device refuses, as a real one does: one mistake each, beside the same without it. */
import { assertEquals } from "@std/assert";
import { hardwareOf, lensCard } from "../cards.ts";
import type { FakeBuffer } from "./fake_buffer.ts";
import { FakeDevice } from "./fake_device.ts";
import { bytesOf, WgslConstants, workgroupBytes } from "./program_sizes.ts";

const { STORAGE, UNIFORM, COPY_SRC, COPY_DST, MAP_READ, QUERY_RESOLVE } = GPUBufferUsage;
const WGSL = `struct Params {
  n: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(1) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(1) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main() {}`;

const entry = (binding: number, type: GPUBufferBindingType, hasDynamicOffset = false) => ({
  ...{ binding, visibility: GPUShaderStage.COMPUTE },
  buffer: { type, hasDynamicOffset },
});

/** The parts of a dispatch, and a device that tells what it refused. */
function lab() {
  const device = new FakeDevice({ ...hardwareOf(lensCard("h200")), memoryBytes: 2 ** 40 }, () => 0);
  const buffer = (usage: number, size = 4096) => device.createBuffer({ label: "b", size, usage });
  const params = device.createBindGroupLayout({ entries: [entry(0, "uniform", true)] });
  const bindings = device.createBindGroupLayout({
    entries: [entry(0, "read-only-storage"), entry(1, "storage")],
  });
  const layouts = [params, bindings] as unknown as GPUBindGroupLayout[];
  const layout = device.createPipelineLayout({ bindGroupLayouts: layouts }) as unknown as GPUPipelineLayout;
  const pipelineOf = (code: string) => {
    const module = device.createShaderModule({ label: "k", code }) as unknown as GPUShaderModule;
    return device.createComputePipeline({ layout, compute: { module, entryPoint: "main" } });
  };
  const groupOf = (layout: unknown, resources: (readonly [FakeBuffer, offset?: number, size?: number])[]) =>
    device.createBindGroup({
      layout: layout as GPUBindGroupLayout,
      entries: resources.map(([buffer, offset, size], binding) => ({
        binding,
        resource: { buffer, offset, size } as unknown as GPUBufferBinding,
      })),
    });
  return { device, buffer, params, bindings, pipelineOf, groupOf };
}

type Lab = ReturnType<typeof lab>;
type Given = Partial<{
  code: string;
  x: readonly [FakeBuffer, number?, number?];
  y: readonly [FakeBuffer, number?, number?];
  uniformBytes: number;
  offset: number;
  groups: [number, number?, number?];
  before: (buffers: { readonly x: FakeBuffer }) => void;
}>;

/** A dispatch that is right but for what is given. */
function dispatch(lab: Lab, given: Given): void {
  const { device, buffer, params, bindings, pipelineOf, groupOf } = lab;
  const x = given.x ?? [buffer(STORAGE)];
  const pipeline = pipelineOf(given.code ?? WGSL);
  const tensors = groupOf(bindings, [x, given.y ?? [buffer(STORAGE)]]);
  const uniform = groupOf(params, [[buffer(UNIFORM), 0, given.uniformBytes ?? 256]]);
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, uniform, [given.offset ?? 256]);
  pass.setBindGroup(1, tensors);
  pass.dispatchWorkgroups(...given.groups ?? [65_535, 65_535]);
  pass.end();
  const commands = encoder.finish();
  given.before?.({ x: x[0] });
  (device.queue.submit as (buffers: unknown[]) => void)([commands]);
}

const write = ({ device }: Lab, buffer: FakeBuffer, offset: number, bytes: number) =>
  (device.queue.writeBuffer as (...args: unknown[]) => void)(buffer, offset, new Uint8Array(bytes));

const MiB = 2 ** 20;

const REFUSED: readonly (readonly [problem: string | null, act: (lab: Lab) => void])[] = [
  [null, (lab) => dispatch(lab, {})],
  [
    `k: 65536, 1, 1 workgroups; 65535 are allowed along a dimension`,
    (lab) => dispatch(lab, { groups: [65_536] }),
  ],
  [`k: params at 128, no multiple of 256`, (lab) => dispatch(lab, { offset: 128 })],
  [`k: params at 4096 of 4096 bytes`, (lab) => dispatch(lab, { offset: 4096 })],
  [
    `k: "x" has elements of 16 bytes; 12 are bound`,
    (lab) => dispatch(lab, { x: [lab.buffer(STORAGE), 0, 12] }),
  ],
  [
    `undefined, binding 0, "b" begins at 64, no multiple of 256`,
    (lab) => dispatch(lab, { x: [lab.buffer(STORAGE), 64] }),
  ],
  [
    `undefined, binding 0, "b" has 18 bytes, no whole words`,
    (lab) => dispatch(lab, { x: [lab.buffer(STORAGE), 0, 18] }),
  ],
  [`undefined, binding 0, "b" binds no bytes`, (lab) => dispatch(lab, { x: [lab.buffer(STORAGE), 4096] })],
  [
    `undefined, binding 0, "b" has 4096 bytes, not 4100`,
    (lab) => dispatch(lab, { x: [lab.buffer(STORAGE), 0, 4100] }),
  ],
  [
    `undefined, binding 0, "b" needs the usage STORAGE; it has COPY_DST`,
    (lab) => dispatch(lab, { x: [lab.buffer(COPY_DST)] }),
  ],
  [null, (lab) => dispatch(lab, { x: [lab.buffer(STORAGE, 2 ** 32), 0, 2 ** 32 - 4] })],
  [
    `undefined, binding 0, "b" has 4294967296 bytes; 4294967292 can be bound`,
    (lab) => dispatch(lab, { x: [lab.buffer(STORAGE, 2 ** 32)] }),
  ],
  [`"b" is used after it was destroyed`, (lab) => dispatch(lab, { before: ({ x }) => x.destroy() })],
  [`k: 2048 invocations in a workgroup`, (lab) => dispatch(lab, { code: WGSL.replace("(64)", "(64, 32)") })],
  [
    `k: 65536 bytes of workgroup memory`,
    (lab) => dispatch(lab, { code: `var<workgroup> tile: array<vec4f, 4096>;\n${WGSL}` }),
  ],
  [
    `k: binding 0 is storage, read-only-storage in the layout`,
    (lab) => dispatch(lab, { code: WGSL.replace("read> x", "read_write> x") }),
  ],
  [`buffer "b" has no usage`, (lab) => void lab.buffer(0)],
  [`buffer "b" has MAP_READ with more than COPY_DST`, (lab) => void lab.buffer(MAP_READ | COPY_SRC)],
  [null, (lab) => write(lab, lab.buffer(COPY_DST), 256, 3840)],
  [`writing 3 bytes at 0 of "b": no whole words`, (lab) => write(lab, lab.buffer(COPY_DST), 0, 3)],
  [`writing 4 bytes at 4096 of "b", which has 4096`, (lab) => write(lab, lab.buffer(COPY_DST), 4096, 4)],
  [`"b" needs the usage COPY_DST; it has STORAGE`, (lab) => write(lab, lab.buffer(STORAGE), 0, 4)],
  [`copying from "b" to itself`, (lab) => {
    const both = lab.buffer(COPY_SRC | COPY_DST);
    lab.device.createCommandEncoder().copyBufferToBuffer(both, 0, both, 2048, 1024);
  }],
  [
    `"b" needs the usage COPY_SRC; it has STORAGE`,
    (lab) =>
      lab.device.createCommandEncoder().copyBufferToBuffer(
        lab.buffer(STORAGE),
        0,
        lab.buffer(COPY_DST),
        0,
        4,
      ),
  ],
  [
    `clearing 6 bytes at 0 of "b": no whole words`,
    (lab) => lab.device.createCommandEncoder().clearBuffer(lab.buffer(COPY_DST), 0, 6),
  ],
  [`a clear within a compute pass`, (lab) => {
    const encoder = lab.device.createCommandEncoder();
    encoder.beginComputePass();
    encoder.clearBuffer(lab.buffer(COPY_DST));
  }],
  [`resolving queries at 8 of "b"`, (lab) => {
    const set = lab.device.createQuerySet({ type: "timestamp", count: 4 });
    lab.device.createCommandEncoder().resolveQuerySet(set, 0, 4, lab.buffer(QUERY_RESOLVE), 8);
  }],
  [`queries 2 to 5 of a set of 4`, (lab) => {
    const set = lab.device.createQuerySet({ type: "timestamp", count: 4 });
    lab.device.createCommandEncoder().resolveQuerySet(set, 2, 4, lab.buffer(QUERY_RESOLVE), 0);
  }],
  [
    `a query set of 4097 entries; 4096 are allowed`,
    (lab) => void lab.device.createQuerySet({ type: "timestamp", count: 4097 }),
  ],
  [`"b" is used while it is mapped`, (lab) => {
    const staging = lab.buffer(MAP_READ | COPY_DST);
    void staging.mapAsync();
    write(lab, staging, 0, 4);
  }],
  [`undefined, binding 1, "b" is written through two bindings`, ({ device, buffer, groupOf }) => {
    const two = device.createBindGroupLayout({ entries: [entry(0, "storage"), entry(1, "storage")] });
    const shared = buffer(STORAGE, MiB);
    groupOf(two, [[shared, 0, 1024], [shared, 1024, 1024]]);
    groupOf(two, [[shared, 0, 1024], [shared, 768, 1024]]);
  }],
];

Deno.test("the fake device refuses what WebGPU's validation refuses, and nothing else", async () => {
  for (const [problem, act] of REFUSED) {
    const one = lab();
    one.device.pushErrorScope("validation");
    act(one);
    assertEquals((await one.device.popErrorScope())?.message ?? null, problem);
  }
});

Deno.test("workgroup memory is counted as WebGPU counts it, nested arrays and rounded to 16 bytes", () => {
  const wgsl =
    "const N: u32 = 4;\nvar<workgroup> a: array<array<array<vec4f, 9>, 4>, N>;\nvar<workgroup> b: array<f32, 3>;";
  assertEquals(workgroupBytes(wgsl), 9 * 4 * 4 * 16 + 16);
  assertEquals(bytesOf("atomic<u32>", new WgslConstants("")), 4);
});
