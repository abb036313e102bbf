/** Copies tensors back to main memory through a buffer that both sides can see. */
import type { Submits } from "./submits/submits.ts";
import type { GpuTensor } from "./tensor.ts";

export interface ReadbackParts {
  readonly device: GPUDevice;
  /** Learns from what was measured of the submits before. */
  readonly submits: Pick<Submits, "measuredBytes" | "resolve" | "learn">;
  /** Throws if a command failed, naming the attempt. */
  readonly check: (attempt: string) => Promise<void>;
}

/** Hands `use` the bytes of all tensors, one after the other; they are valid until it returns. */
export async function withMapped<T>(
  { device, submits, check }: ReadbackParts,
  tensors: readonly GpuTensor[],
  use: (bytes: Uint8Array<ArrayBuffer>) => T,
): Promise<T> {
  const labels = tensors.map(({ label }) => label).join(", ");
  const byteLength = tensors.reduce((total, { byteLength }) => total + byteLength, 0);
  const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ;
  const size = byteLength + submits.measuredBytes;
  const staging = device.createBuffer({ label: `staging for ${labels}`, size, usage });
  try {
    const encoder = device.createCommandEncoder();
    let at = 0;
    for (const { buffer, byteOffset, byteLength } of tensors) {
      encoder.copyBufferToBuffer(buffer, byteOffset, staging, at, byteLength);
      at += byteLength;
    }
    submits.resolve(encoder, staging, byteLength);
    device.queue.submit([encoder.finish()]);
    await check(`Computing "${labels}"`);
    await staging.mapAsync(GPUMapMode.READ);
    const mapped = staging.getMappedRange();
    submits.learn(mapped.slice(byteLength), byteLength);
    return use(new Uint8Array(mapped, 0, byteLength));
  } finally {
    staging.destroy();
  }
}

/** Cuts tensors into pieces, in their order, and groups the pieces so that each group has at most `maxBytes`, a multiple of 256. */
export function* inPieces(tensors: readonly GpuTensor[], maxBytes: number): Generator<GpuTensor[]> {
  let group: GpuTensor[] = [];
  let room = maxBytes;
  for (const tensor of tensors) {
    for (let at = 0; at < tensor.byteLength;) {
      const byteLength = Math.min(room, tensor.byteLength - at);
      group.push({ ...tensor, byteOffset: tensor.byteOffset + at, byteLength });
      at += byteLength;
      room -= byteLength;
      if (room > 0) continue;
      yield group;
      [group, room] = [[], maxBytes];
    }
  }
  if (group.length > 0) yield group;
}
