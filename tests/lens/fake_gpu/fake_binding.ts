/** Layouts and bind groups, and what a device refuses in them. */
import type { FakeBuffer } from "./fake_buffer.ts";
import { usageProblem } from "./fake_checks.ts";
import type { FakeBindGroup, PendingDispatch } from "./fake_encoder.ts";
import type { Program } from "./recorded.ts";

/** The access of each binding: WebGPU's buffer types. */
export interface FakeLayout {
  readonly accesses: readonly string[];
  readonly isDynamic: readonly boolean[];
}

export interface FakePipelineLayout {
  readonly groups: readonly FakeLayout[];
}

export interface FakePipeline {
  readonly program: Program;
}

/** WebGPU's defaults, which nobody asks to change. */
const OFFSET_ALIGNMENT = 256;
const MAX_UNIFORM_BYTES = 65_536;
const MAX_BIND_GROUPS = 4;
const MAX_UNIFORMS = 12;
const MAX_DYNAMIC_UNIFORMS = 8;

const isStorage = (access: string) => access !== "uniform";

export function layoutOf(entries: Iterable<GPUBindGroupLayoutEntry>): FakeLayout {
  const sorted = [...entries].toSorted((a, b) => a.binding - b.binding);
  return {
    accesses: sorted.map(({ buffer }) => buffer?.type ?? "uniform"),
    isDynamic: sorted.map(({ buffer }) => buffer?.hasDynamicOffset ?? false),
  };
}

/** What the groups of one pipeline have together. */
export function layoutProblems(groups: readonly FakeLayout[], maxStorageBuffers: number): string[] {
  const accesses = groups.flatMap((group) => group.accesses);
  const storage = accesses.filter(isStorage).length;
  const uniforms = accesses.length - storage;
  const dynamic = groups.flatMap((group) => group.isDynamic).filter(Boolean).length;
  return [
    ...groups.length > MAX_BIND_GROUPS ? [`${groups.length} bind groups in a pipeline`] : [],
    ...storage > maxStorageBuffers
      ? [`${storage} storage buffers in a layout; ${maxStorageBuffers} are allowed`]
      : [],
    ...uniforms > MAX_UNIFORMS || dynamic > MAX_DYNAMIC_UNIFORMS
      ? [`${uniforms} uniform buffers in a layout`]
      : [],
  ];
}

/** What the WGSL declares and the layout does not have. */
export function pipelineProblems({ bindings }: Program, { groups }: FakePipelineLayout): string[] {
  const accesses = groups[1]?.accesses ?? [];
  const wanted = bindings.map(({ access }) => access === "read" ? "read-only-storage" : "storage");
  if (groups.length < 1 || wanted.length > accesses.length) {
    return [`${wanted.length} bindings, ${accesses.length} in the layout`];
  }
  return wanted.flatMap((access, i) =>
    access === accesses[i] ? [] : [`binding ${i} is ${access}, ${accesses[i]} in the layout`]
  );
}

export function bindGroupOf(entries: Iterable<GPUBindGroupEntry>, layout: FakeLayout): FakeBindGroup {
  const sorted = [...entries].toSorted((a, b) => a.binding - b.binding);
  return {
    layout,
    entries: sorted.map(({ resource }) => {
      const { buffer, offset = 0, size } = resource as unknown as {
        buffer: FakeBuffer;
        offset?: number;
        size?: number;
      };
      return { buffer, offset, byteLength: size ?? buffer.size - offset };
    }),
  };
}

type Entry = FakeBindGroup["entries"][number];

/** @param maxBytes of a storage binding */
export function bindingProblems({ entries, layout }: FakeBindGroup, maxBytes: number): string[] {
  const { accesses } = layout;
  if (entries.length !== accesses.length) {
    return [`${entries.length} bindings; the layout has ${accesses.length}`];
  }
  return entries.flatMap((entry, binding) =>
    [...entryProblems(entry, accesses[binding]!, maxBytes), ...aliasProblems(entries, accesses, binding)]
      .map((problem) => `binding ${binding}, ${problem}`)
  );
}

function entryProblems({ buffer, offset, byteLength }: Entry, access: string, maxBytes: number): string[] {
  const most = isStorage(access) ? maxBytes : MAX_UNIFORM_BYTES;
  const usage = usageProblem(buffer, isStorage(access) ? "STORAGE" : "UNIFORM");
  const name = `"${buffer.label}"`;
  return [
    ...usage === null ? [] : [usage],
    ...buffer.isDestroyed ? [`${name} is destroyed`] : [],
    ...offset % OFFSET_ALIGNMENT === 0
      ? []
      : [`${name} begins at ${offset}, no multiple of ${OFFSET_ALIGNMENT}`],
    ...offset + byteLength <= buffer.size
      ? []
      : [`${name} has ${buffer.size} bytes, not ${offset + byteLength}`],
    ...byteLength <= most ? [] : [`${name} has ${byteLength} bytes; ${most} can be bound`],
    ...byteLength > 0 ? [] : [`${name} binds no bytes`],
    ...isStorage(access) && byteLength % 4 !== 0 ? [`${name} has ${byteLength} bytes, no whole words`] : [],
  ];
}

/**
 * wgpu refuses one buffer with two accesses in a dispatch, even on disjoint ranges; WebGPU refuses ranges that overlap if one is
 * written.
 */
function aliasProblems(entries: readonly Entry[], accesses: readonly string[], binding: number): string[] {
  const entry = entries[binding]!;
  const { buffer, offset, byteLength } = entry;
  const before = entries.slice(0, binding);
  const other = before.some((each, i) => each.buffer === buffer && accesses[i] !== accesses[binding]);
  if (other) return [`"${buffer.label}" is bound read-only and read-write`];
  const overlaps = accesses[binding] === "storage" &&
    before.some((each, i) =>
      each.buffer === buffer && accesses[i] === "storage" && each.offset < offset + byteLength &&
      offset < each.offset + each.byteLength
    );
  return overlaps ? [`"${buffer.label}" is written through two bindings`] : [];
}

/** Of a dispatch whose pipeline and groups are set. @param limit workgroups along a dimension */
export function dispatchProblems(
  { program, params, paramsOffset, tensors, groups }: PendingDispatch,
  limit: number,
): string[] {
  const [uniform] = params.entries;
  const paramsBytes = 4 * program.params.length;
  return [
    ...Math.max(...groups) > limit
      ? [`${groups.join(", ")} workgroups; ${limit} are allowed along a dimension`]
      : [],
    ...paramsOffset % OFFSET_ALIGNMENT === 0
      ? []
      : [`params at ${paramsOffset}, no multiple of ${OFFSET_ALIGNMENT}`],
    ...uniform!.offset + paramsOffset + uniform!.byteLength <= uniform!.buffer.size
      ? []
      : [`params at ${paramsOffset} of ${uniform!.buffer.size} bytes`],
    ...uniform!.byteLength >= paramsBytes
      ? []
      : [`${paramsBytes} bytes of params; ${uniform!.byteLength} are bound`],
    // A kernel's binding is an array without end: at least one element of it.
    ...program.bindings.flatMap(({ name, elementBytes }, i) => {
      const bound = tensors.entries[i]?.byteLength ?? 0;
      return bound >= elementBytes
        ? []
        : [`"${name}" has elements of ${elementBytes} bytes; ${bound} are bound`];
    }),
  ].map((problem) => `${program.label}: ${problem}`);
}
