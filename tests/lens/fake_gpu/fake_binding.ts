/** Bind groups, and what a device refuses in them. */
import type { FakeBuffer } from "./fake_buffer.ts";
import type { FakeBindGroup } from "./fake_encoder.ts";

/** The access of each binding: WebGPU's buffer types. */
export interface FakeLayout {
  readonly accesses: readonly string[];
}

export function bindGroupOf(entries: Iterable<GPUBindGroupEntry>): FakeBindGroup {
  return {
    entries: [...entries].map(({ resource }) => {
      const { buffer, offset = 0, size } = resource as unknown as {
        buffer: FakeBuffer;
        offset?: number;
        size?: number;
      };
      return { buffer, offset, byteLength: size ?? buffer.size - offset };
    }),
  };
}

/** @param maxBytes of a storage binding */
export function bindingProblems(
  { entries }: FakeBindGroup,
  { accesses }: FakeLayout,
  maxBytes: number,
): string[] {
  const problems: string[] = [];
  for (const [binding, { buffer, offset, byteLength }] of entries.entries()) {
    const access = accesses[binding]!;
    const refuse = (why: string) => problems.push(`binding ${binding}, "${buffer.label}" ${why}`);
    if (buffer.isDestroyed) refuse("is destroyed");
    if (offset % 256 !== 0) refuse(`begins at ${offset}, no multiple of 256`);
    if (offset + byteLength > buffer.size) refuse(`has ${buffer.size} bytes, not ${offset + byteLength}`);
    if (access !== "uniform" && byteLength > maxBytes) {
      refuse(`has ${byteLength} bytes; ${maxBytes} can be bound`);
    }
    // wgpu refuses one buffer with two accesses in a dispatch, even on disjoint ranges.
    if (entries.some((other, i) => i < binding && other.buffer === buffer && accesses[i] !== access)) {
      refuse("is bound read-only and read-write");
    }
  }
  return problems;
}
