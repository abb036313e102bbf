/** Copies tensors back to main memory through a buffer that both sides can see. */
import type { Clock } from "../../shared/clock.ts";
import type { ErrorScopes } from "./error_scopes.ts";
import type { Submits } from "./submits/submits.ts";
import type { GpuTensor } from "./tensor.ts";

export interface ReadbackParts {
  readonly device: GPUDevice;
  /** Learns from what was measured of the submits before. */
  readonly submits: Pick<
    Submits,
    "busyMs" | "measuredBytes" | "mostMeasuredBytes" | "resolve" | "learn" | "forget"
  >;
  readonly errors: Pick<ErrorScopes, "isLost">;
  /** Throws if a command failed, naming the attempt. */
  readonly check: (attempt: string) => Promise<void>;
  /** What becomes of what WebGPU itself threw during the attempt. */
  readonly failureOf: (thrown: unknown, attempt: string) => Promise<Error>;
  /** Null: the device cannot be lost. */
  readonly watch: Clock | null;
}

/** How often a lost device is looked for. */
const LOOK_MS = 20;

/** Hands `use` the bytes of all tensors, one after the other; they are valid until it returns. */
export async function withMapped<T>(
  parts: ReadbackParts,
  tensors: readonly GpuTensor[],
  use: (bytes: Uint8Array<ArrayBuffer>) => T,
): Promise<T> {
  const byteLength = bytesOf(tensors);
  const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ;
  const size = byteLength + parts.submits.measuredBytes;
  const staging = parts.device.createBuffer({ label: `staging for ${labelsOf(tensors)}`, size, usage });
  try {
    const { ready, range } = await startReading(parts, tensors, staging);
    await ready();
    return use(range(0, byteLength));
  } finally {
    staging.destroy();
  }
}

/** Tensors on their way through a buffer. */
export interface Reading {
  /** Waits until their bytes are there. */
  ready(): Promise<void>;
  /** A copy of some of their bytes, each of which may be taken once, before the buffer is unmapped or destroyed. */
  range(offset: number, byteLength: number): Uint8Array<ArrayBuffer>;
}

/** Begins to read tensors through a buffer that nobody else uses: resolves when they are on their way into it. */
export async function startReading(
  { device, submits, errors, check, failureOf, watch }: ReadbackParts,
  tensors: readonly GpuTensor[],
  staging: GPUBuffer,
): Promise<Reading> {
  const attempt = `Computing "${labelsOf(tensors)}"`;
  // In front, because a mapped range begins at a multiple of 8 bytes.
  const { measuredBytes } = submits;
  const forget = (thrown: unknown) => {
    submits.forget();
    return thrown;
  };
  try {
    const encoder = device.createCommandEncoder();
    let at = measuredBytes;
    for (const { buffer, byteOffset, byteLength } of tensors) {
      encoder.copyBufferToBuffer(buffer, byteOffset, staging, at, byteLength);
      at += byteLength;
    }
    submits.resolve(encoder, staging, 0);
    device.queue.submit([encoder.finish()]);
    if (watch !== null) await watchFor(submits.busyMs, device, errors, watch);
    await check(attempt);
  } catch (thrown) {
    throw forget(thrown);
  }
  // Deno waits for the GPU in this call, and sleeps in what it returns.
  const mapping = staging.mapAsync(GPUMapMode.READ);
  mapping.catch(() => {}); // until somebody waits for it
  const range = (offset: number, byteLength: number) =>
    new Uint8Array(staging.getMappedRange(measuredBytes + offset, byteLength), 0, byteLength);
  const ready = async () => {
    try {
      await mapping;
    } catch (thrown) {
      throw forget(await failureOf(thrown, attempt));
    }
    const measured = measuredBytes === 0
      ? new ArrayBuffer(0)
      : staging.getMappedRange(0, measuredBytes).slice(0, measuredBytes);
    submits.learn(measured, bytesOf(tensors));
  };
  return { ready, range };
}

export const bytesOf = (tensors: readonly GpuTensor[]): number =>
  tensors.reduce((total, { byteLength }) => total + byteLength, 0);

const labelsOf = (tensors: readonly GpuTensor[]) => tensors.map(({ label }) => label).join(", ");

/**
 * Lets time pass while the GPU computes, and looks for its loss. If a device is lost while `mapAsync` waits for it, Deno ends the
 * process (`device_poll(…).unwrap()` in its ext/webgpu/buffer.rs); an empty submit merely fails.
 */
async function watchFor(
  milliseconds: number,
  { queue }: GPUDevice,
  errors: Pick<ErrorScopes, "isLost">,
  time: Clock,
): Promise<void> {
  const end = time.now() + milliseconds;
  while (!errors.isLost && time.now() + LOOK_MS <= end) {
    await time.sleep(LOOK_MS);
    queue.submit([]);
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
